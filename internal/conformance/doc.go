// Package conformance has only tests. They check on real hosts that every registered resource type
// obeys these laws:
//
//  1. The difference between a state and itself is empty.
//  2. After an apply, the observed state is the wanted state.
//  3. A second plan is empty, in the same session and in a new one.
//  4. Performing and undoing a step restores the state that was found. A step that cannot be undone
//     gives the reason.
//  5. Changing from one wanted state to another and back converges in both directions.
//  6. A plan detects a manual edit and an apply repairs it, without other changes on the host.
//  7. After a removal nothing of the resource is found, unless the type keeps it.
//  8. An operation whose expectation does not hold is refused and changes nothing.
//  9. If a step fails, the earlier steps of its resource are rolled back, and those of other
//     resources are not.
//
// The cases of a type are data: its wanted states, the preparation of the host, and manual edits.
package conformance
