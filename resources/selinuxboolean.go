package resources

import (
	"fmt"
	"strings"

	"github.com/mirrorform/mirrorform/engine"
	"github.com/mirrorform/mirrorform/engine/wire"
)

// SELinuxBoolean is a boolean of the SELinux policy: its value at each boot, and its current value.
// A removal restores the value from before the first apply. It is an error on hosts where SELinux
// is not enabled.
type SELinuxBoolean struct {
	Name  string `hcl:"name" id:"true"` // name of the boolean, as getsebool(8) lists it
	Value *bool  `hcl:"value"`          // whether it is on
	// Current is the value that the kernel has now, on or off.
	Current string `plan:"current"`
	// Previous is the current value from before the first apply.
	Previous string `remember:"previous,first"`

	live   string // wanted: the current value, once the host has answered
	absent bool   // wanted: the host's policy does not have the boolean
}

type selinuxBoolean struct{}

func init() { register("selinux_boolean", selinuxBoolean{}) }

// Batch implements engine.Batcher.
func (selinuxBoolean) Batch() string { return selinuxBatch }

func onOff(value bool) string {
	if value {
		return "on"
	}
	return "off"
}

// Complete returns want with its current value.
func (selinuxBoolean) Complete(_ engine.Target, want *SELinuxBoolean) *SELinuxBoolean {
	full := *want
	if full.Current == "" {
		full.Current = onOff(isTrue(full.Value))
	}
	return &full
}

func (selinuxBoolean) Keys(_ engine.Target, want *SELinuxBoolean) (provides, needs []engine.Key) {
	return []engine.Key{engine.Key("selinux_boolean:" + want.Name)}, []engine.Key{engine.PackageKey(selinuxTools)}
}

func (selinuxBoolean) Validate(want *SELinuxBoolean) []engine.Problem {
	if selinuxName.MatchString(want.Name) {
		return nil
	}
	return []engine.Problem{refusal("name", fmt.Sprintf("invalid SELinux boolean %q", want.Name),
		"use the name of a boolean, such as rsync_export_all_ro; getsebool -a lists those of a host")}
}

// live asks for the current value.
func (selinuxBoolean) live(s *SELinuxBoolean) wire.Query {
	return wire.Query{Verb: wire.AskFile, Arg: "/sys/fs/selinux/booleans/" + s.Name, Option: "head"}
}

func (sb selinuxBoolean) Ask(t engine.Target, want *SELinuxBoolean) []wire.Query {
	if t.Facts.SELinuxPolicy == "" {
		return nil
	}
	return []wire.Query{localBooleans(t), sb.live(want)}
}

// current returns the value that the kernel has: "" if it has no such boolean. The file has the
// current value, and that which the next commit of selinuxfs sets.
func (sb selinuxBoolean) current(want *SELinuxBoolean, got engine.Answers) (string, error) {
	f, err := got.File(sb.live(want))
	if err != nil || f.Kind != wire.Regular {
		return "", err
	}
	return onOff(strings.HasPrefix(string(f.Content), "1")), nil
}

// Settle remembers the value from before the first apply.
func (sb selinuxBoolean) Settle(t engine.Target, want *SELinuxBoolean, prior *engine.Record, got engine.Answers) *SELinuxBoolean {
	if t.Facts.SELinux == "" {
		return want
	}
	full := *want
	live, err := sb.current(want, got)
	full.live, full.absent = live, err == nil && live == ""
	if prior == nil {
		full.Previous = live
	}
	return &full
}

func (sb selinuxBoolean) Read(t engine.Target, want *SELinuxBoolean, got engine.Answers) (*SELinuxBoolean, error) {
	if t.Facts.SELinuxPolicy == "" {
		return nil, nil
	}
	text, err := contentOf(got, localBooleans(t))
	if err != nil {
		return nil, err
	}
	live, err := sb.current(want, got)
	if err != nil {
		return nil, err
	}
	for line := range strings.Lines(text) {
		name, value, ok := strings.Cut(strings.TrimSpace(line), "=")
		if !ok || name != want.Name {
			continue
		}
		on := value == "1"
		have := *want
		have.Value, have.Current = &on, live
		return &have, nil
	}
	return nil, nil
}

// commands returns the line for semanage-import(8) that sets the value at each boot.
func (selinuxBoolean) commands(name string, value bool) []string {
	option := "-0"
	if value {
		option = "-1"
	}
	return []string{"boolean -m " + option + " " + name}
}

// now returns the arguments that set the current value; none where it is not known.
func (selinuxBoolean) now(name, value string) []string {
	if value == "" {
		return nil
	}
	return []string{name + "=" + value}
}

func (sb selinuxBoolean) Diff(_ engine.Target, want, have *SELinuxBoolean) []engine.Step {
	step := func(summary string, do, undo wire.PolicyOp) []engine.Step {
		return []engine.Step{{Summary: summary, Do: wire.Op{Policy: &do}, Undo: &wire.Op{Policy: &undo}}}
	}
	switch {
	case want == nil:
		now := []string(nil)
		if have.Current != "" { // SELinux is enabled
			now = sb.now(have.Name, have.Previous)
		}
		return step("remove the value of the SELinux boolean "+have.Name,
			wire.PolicyOp{Forget: []string{have.Name}, Booleans: now},
			wire.PolicyOp{Commands: sb.commands(have.Name, isTrue(have.Value)), Booleans: sb.now(have.Name, have.Current)})
	case have == nil:
		return step("set the SELinux boolean "+want.Name,
			wire.PolicyOp{Commands: sb.commands(want.Name, isTrue(want.Value)), Booleans: sb.now(want.Name, want.Current)},
			wire.PolicyOp{Forget: []string{want.Name}, Booleans: sb.now(want.Name, want.live)})
	case isTrue(want.Value) != isTrue(have.Value):
		return step("change the SELinux boolean "+want.Name,
			wire.PolicyOp{Commands: sb.commands(want.Name, isTrue(want.Value)), Booleans: sb.now(want.Name, want.Current)},
			wire.PolicyOp{Commands: sb.commands(want.Name, isTrue(have.Value)), Booleans: sb.now(want.Name, have.Current)})
	case want.Current != have.Current:
		return step("set the current value of the SELinux boolean "+want.Name,
			wire.PolicyOp{Booleans: sb.now(want.Name, want.Current)}, wire.PolicyOp{Booleans: sb.now(want.Name, have.Current)})
	}
	return nil
}

func (selinuxBoolean) Check(t engine.Target, want, _ *SELinuxBoolean) []engine.Problem {
	if want == nil {
		return nil
	}
	if out := withoutSELinux(t); out != nil {
		return out
	}
	if want.absent {
		return []engine.Problem{refusal("name", fmt.Sprintf("the policy of the host has no boolean %q", want.Name),
			"check the name; to list the booleans: getsebool -a")}
	}
	return nil
}
