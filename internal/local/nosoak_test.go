//go:build !soak

package local_test

const soak = false
