// Package conformance has tests alone: they check, for every registered resource type and on real hosts, the laws that all
// types keep.
//
//  1. There is nothing to do from a state to itself.
//  2. After apply, observing again finds what was wanted.
//  3. A second plan is empty, also one by a new session.
//  4. Do, then undo, restores what was found; a step that cannot be undone says why.
//  5. From one wanted state to another and back converges each way.
//  6. A hand edit is found by a plan and repaired by apply, and nothing else on the host changes.
//  7. After a removal there is nothing to be found, except where the type keeps it.
//  8. An operation whose expectation does not hold is refused, and changes nothing.
//  9. When a step fails, the earlier steps of its resource are taken back, and those of others are not.
//
// A type's cases are data: its wanted states, how the host is prepared, and the hand edits.
package conformance
