package wire

import "time"

// What a host may answer, in bytes of memory, and how long it may take. The helper keeps to these
// limits by itself; the controller counts on them, and does not rely on the helper.

// Times that the helper permits itself.
const (
	// LookTime is how long a question may take that no program answers, ProgramTime one that a
	// program answers (which has QueryTime and says more than that it took too long), and
	// PackageTime one of packages, for which dnf fetches lists.
	LookTime    = 30 * time.Second
	QueryTime   = 30 * time.Second
	ProgramTime = QueryTime + 10*time.Second
	PackageTime = 6*QueryTime + 10*time.Second
	// ChangeTime is how long a program that changes the host may take, and PackagesTime one run of
	// the package manager, which waits for its lock for up to LockTime.
	ChangeTime   = 10 * time.Minute
	PackagesTime = 30 * time.Minute
	LockTime     = 2 * time.Minute
	// MaxStalled is how many questions the helper has stall at once without asking fewer others.
	MaxStalled = 64
	// MaxAnswers is how much file content the answers to one message carry together, in bytes.
	MaxAnswers = 20 << 20
)

// time is how long the answer to a question may take.
func (q Query) time() time.Duration {
	switch q.Verb {
	case AskFile, AskFilesystem, AskLoaded, AskUser, AskGroup:
		return LookTime
	case AskPackage:
		return PackageTime
	}
	return ProgramTime
}

// Time is how long the answers to these questions may take. They are looked for at once; owners and
// accounts are named afterwards, by programs that are asked twice.
func (a *Ask) Time() time.Duration {
	var most time.Duration
	named := false
	for _, q := range a.Queries {
		most = max(most, q.time())
		named = named || q.Verb == AskFile || q.Verb == AskUser || q.Verb == AskGroup
	}
	if named {
		most += 2*QueryTime + LookTime
	}
	rounds := 1 + len(a.Queries)/MaxStalled // of many that are slow, so many are answered at once
	return time.Duration(rounds)*most + 10*time.Second
}

// What each message may take beyond the content that is asked for: a plan of 1,000 resources has
// 1 MiB of answers.
const (
	roomForWords  = 4 << 20
	roomForAnswer = 4 << 10
)

// Room is how much memory the answers to these questions may take while they are decoded.
func (a *Ask) Room() int {
	content := 0
	for _, q := range a.Queries {
		if q.Verb == AskFile && q.Option != "" {
			content += MaxContent
		}
	}
	// Each is gathered in a buffer that grows to the largest.
	content = min(content, MaxAnswers) + 2*min(content, MaxContent)
	return roomForWords + roomForAnswer*len(a.Queries) + content + content/8
}

// Memory that other messages than Answers may take.
const (
	// RoomForManifest is what a message may take that has the manifest, with the buffer that it is
	// gathered in.
	RoomForManifest = roomForWords + 4*MaxManifest
	// RoomForWords is what other messages may take.
	RoomForWords = 1 << 20
	// RoomForBeat is what may come while nothing is asked: Beat or Failure.
	RoomForBeat = 256 << 10
)

// Time is how long an operation may take, or its undo.
func (o *Op) Time() time.Duration {
	switch {
	case o == nil:
		return 0
	case o.Package != nil: // with the lists, once more without those that fail, each for its lock
		return 4*(PackagesTime+LockTime) + 2*PackageTime
	case o.Run != nil && o.Run.Timeout > 0:
		return time.Duration(o.Run.Timeout)*time.Second + QueryTime
	case o.Probe != nil:
		return time.Duration(o.Probe.Timeout)*time.Second + 2*QueryTime
	}
	return 4*ChangeTime + 4*QueryTime // a unit takes four programs
}

// Time is how long one of the operations, or its undo, may take at most.
func (d *Do) Time() time.Duration {
	var most time.Duration
	for i := range d.Ops {
		most = max(most, d.Ops[i].Op.Time(), d.Ops[i].Undo.Time())
	}
	return most
}
