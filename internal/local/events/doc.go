// Package events is EventBridge of the local AWS: the rules of the stacks, with
// event patterns and schedules, and delivery to functions and state machines.
package events
