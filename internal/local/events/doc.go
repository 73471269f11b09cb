// Package events is EventBridge of the local AWS: rules with event patterns, and
// schedules, of the stacks, and what they call: functions, and state machines.
//
// It leaves running a function and an execution to their packages, and which
// events there are to those who publish them. It knows no time but the clock that
// it is given, and wakes nobody: a schedule is due when the clock, moved on by
// others, has passed it, and fires when Tick looks.
//
// Promises: delivery is as AWS has it, at least once and best effort, with the
// retries of EventBridge before a target accepts an event, and those of Lambda's
// asynchronous invocation behind it; a target is called with the rights that the
// stacks give, the resource's policy or the rule's role; what ends nowhere is a
// letter in the queue that the rule or the function names; a property, a pattern
// or an expression that is not known is an error by name.
//
// https://docs.aws.amazon.com/eventbridge/latest/userguide/eb-rule-dlq.html
// https://docs.aws.amazon.com/lambda/latest/dg/invocation-async-error-handling.html
package events
