//go:build soak

package local_test

// soak makes the tests run as long as they can be of use: make soak.
const soak = true
