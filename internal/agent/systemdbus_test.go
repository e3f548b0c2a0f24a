package agent

import (
	"bufio"
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/mirrorform/mirrorform/engine/wire"
	"github.com/mirrorform/mirrorform/internal/lab"
	"github.com/mirrorform/mirrorform/internal/lab/labtest"
)

// busAnswer returns a message with a variant, or another body, that answers a call.
func busAnswer(kind byte, reply uint32, signature string, body []byte) []byte {
	b := []byte{busOrder(), kind, 1, 1}
	for _, n := range []uint32{uint32(len(body)), 1, 0} {
		b = binary.NativeEndian.AppendUint32(b, n)
	}
	if reply != 0 {
		b = binary.NativeEndian.AppendUint32(append(b, busReplyTo, 1, 'u', 0), reply)
	}
	b = busText(append(busAlign(b, 8), 7, 1, 's', 0), "org.freedesktop.systemd1")
	b = append(append(busAlign(b, 8), busSignature, 1, 'g', 0, byte(len(signature))), signature+"\x00"...)
	binary.NativeEndian.PutUint32(b[12:], uint32(len(b)-busHeader))
	return append(busAlign(b, 8), body...)
}

func textVariant(s string) []byte { return busText([]byte{1, 's', 0}, s) }

func boolVariant(n uint32) []byte {
	return binary.NativeEndian.AppendUint32([]byte{1, 'b', 0, 0}, n)
}

// busServer is a systemd that answers the authentication with a line, the list of units with list,
// and two calls for properties with answer.
func busServer(t *testing.T, line string, list func(uint32) []byte, answer func(calls []uint32) []byte) (path string) {
	path = t.TempDir() + "/private"
	l, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	go func() {
		c, err := l.Accept()
		if err != nil {
			return
		}
		defer func() { _ = c.Close() }()
		in := bufio.NewReader(c)
		for _, want := range []string{"\x00AUTH EXTERNAL 30\r\n", "BEGIN\r\n"} {
			got, err := in.ReadString('\n')
			if err != nil && got == "" {
				return // the helper was stopped
			}
			if err != nil || got != want {
				t.Errorf("authentication: %q, %v", got, err)
				return
			}
		}
		if in.Buffered() > 0 {
			t.Error("a call came together with the authentication: systemd would wait for another one")
		}
		_, _ = io.WriteString(c, line)
		if _, err := in.Peek(1); err != nil {
			return // the helper has closed
		}
		serial, ok := readCall(t, in, "as")
		if !ok {
			return
		}
		_, _ = c.Write(list(serial))
		if _, err := in.Peek(1); err != nil {
			return // the helper has closed
		}
		var calls []uint32
		for range 2 {
			serial, ok := readCall(t, in, "ss")
			if !ok {
				return
			}
			calls = append(calls, serial)
		}
		_, _ = c.Write(answer(calls))
		_, _ = io.Copy(io.Discard, in) // until the helper closes
	}()
	return path
}

// readCall reads a call with the signature.
func readCall(t *testing.T, in *bufio.Reader, signature string) (serial uint32, ok bool) {
	head, err := in.Peek(busHeader)
	if err != nil {
		t.Error("calls:", err)
		return 0, false
	}
	serial = binary.NativeEndian.Uint32(head[8:])
	if m, err := readBus(in); err != nil || m.kind != busCall || m.signature != signature {
		t.Errorf("call: %+v, %v; want %s", m, err, signature)
		return 0, false
	}
	return serial, true
}

const listSignature = "a(ssssssouso)"

// unitList returns the body of a list of units with these load and active states.
func unitList(states ...string) []byte {
	b := make([]byte, 4)
	for i := 0; i < len(states); i += 2 {
		b = busAlign(b, 8)
		for _, s := range []string{"a.service", "A", states[i], states[i+1], "dead", "", "/a"} {
			b = busText(b, s)
		}
		b = busText(busText(append(busAlign(b, 4), 0, 0, 0, 0), ""), "/")
	}
	binary.NativeEndian.PutUint32(b, uint32(len(b)-8))
	return b
}

// twoUnits is the list of a unit that systemd has, and of one that it has not.
func twoUnits(serial uint32) []byte {
	return busAnswer(busReply, serial, listSignature, unitList("loaded", "active", "not-found", "inactive"))
}

// properties are those of the unit that systemd has, in the order of the calls.
var properties = [][]byte{textVariant("enabled"), boolVariant(1)}

func all(calls []uint32) (b []byte) {
	for i, serial := range calls {
		b = append(b, busAnswer(busReply, serial, "v", properties[i])...)
	}
	return b
}

var twoNames = []string{"nginx.service", "srv-my\\x2dmirror.mount"}

func TestUnitsByBus(t *testing.T) {
	t.Parallel()
	want := []*wire.Unit{
		{LoadState: "loaded", ActiveState: "active", UnitFileState: "enabled", CanReload: true},
		{LoadState: "not-found", ActiveState: "inactive"},
	}
	signal := busAnswer(busSignal, 0, "so", busText(busText(nil, "nginx.service"), "/"))
	for name, answer := range map[string]func([]uint32) []byte{
		"in order": all,
		"backwards, with signals": func(calls []uint32) (b []byte) {
			for i := len(calls) - 1; i >= 0; i-- {
				b = append(append(b, signal...), busAnswer(busReply, calls[i], "v", properties[i])...)
			}
			return b
		},
	} {
		list := func(serial uint32) []byte { return append(slices.Clone(signal), twoUnits(serial)...) }
		got, err := unitsByBus(t.Context(), busServer(t, "OK 0123\r\n", list, answer), twoNames)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		same(t, name, got, want)
	}
}

func TestUnitsByBusFails(t *testing.T) {
	t.Parallel()
	names := twoNames
	for name, list := range map[string]func(uint32) []byte{
		"an error":         func(c uint32) []byte { return busAnswer(busError, c, "s", busText(nil, "no")) },
		"another type":     func(c uint32) []byte { return busAnswer(busReply, c, "as", unitList("loaded", "active")) },
		"less than a unit": func(c uint32) []byte { return busAnswer(busReply, c, listSignature, unitList("loaded", "active")[:60]) },
		"one unit":         func(c uint32) []byte { return busAnswer(busReply, c, listSignature, unitList("loaded", "active")) },
		"three units": func(c uint32) []byte {
			return busAnswer(busReply, c, listSignature, unitList("loaded", "active", "loaded", "active", "loaded", "active"))
		},
	} {
		if got, err := unitsByBus(t.Context(), busServer(t, "OK 0123\r\n", list, all), names); !errors.Is(err, errNoBus) {
			t.Errorf("%s in the list: %v, %v", name, got, err)
		}
	}
	for name, answer := range map[string]func([]uint32) []byte{
		"an error": func(c []uint32) []byte {
			return append(busAnswer(busError, c[0], "s", busText(nil, "no")), all(c[1:])...)
		},
		"another type": func(c []uint32) []byte {
			return append(busAnswer(busReply, c[0], "v", []byte{1, 'y', 0, 1}), all(c[1:])...)
		},
		"no variant": func(c []uint32) []byte {
			return append(busAnswer(busReply, c[0], "s", busText(nil, "x")), all(c[1:])...)
		},
		"more than a value": func(c []uint32) []byte {
			return append(busAnswer(busReply, c[0], "v", append(textVariant("x"), 0)), all(c[1:])...)
		},
		"less than a value": func(c []uint32) []byte {
			return append(busAnswer(busReply, c[0], "v", textVariant("loaded")[:8]), all(c[1:])...)
		},
		"twice":           func(c []uint32) []byte { b := all(c[:1]); return append(b, b...) },
		"another call":    func([]uint32) []byte { return busAnswer(busReply, 4711, "v", properties[0]) },
		"no call":         func([]uint32) []byte { return busAnswer(busReply, 0, "v", properties[0]) },
		"an earlier call": func([]uint32) []byte { return busAnswer(busReply, 1, "v", properties[0]) },
		"no D-Bus":        func([]uint32) []byte { return bytes.Repeat([]byte("HTTP/1.1 400\r\n"), 4) },
		"too much": func([]uint32) []byte {
			return busAnswer(busReply, 1, "v", textVariant(strings.Repeat("x", maxBus+1)))
		},
	} {
		if got, err := unitsByBus(t.Context(), busServer(t, "OK 0123\r\n", twoUnits, answer), names); !errors.Is(err, errNoBus) {
			t.Errorf("%s: %v, %v", name, got, err)
		}
	}
	if _, err := unitsByBus(t.Context(), busServer(t, "REJECTED EXTERNAL\r\n", twoUnits, all), names); !errors.Is(err, errNoBus) {
		t.Error("rejected:", err)
	}
	if _, err := unitsByBus(t.Context(), t.TempDir()+"/private", names); !errors.Is(err, errNoBus) {
		t.Error("no socket:", err)
	}
	silent := busServer(t, "OK 0123\r\n", twoUnits, func([]uint32) []byte { return nil })
	late, cancel := context.WithTimeout(t.Context(), time.Millisecond)
	defer cancel()
	if _, err := unitsByBus(late, silent, names); err == nil || !strings.Contains(err.Error(), "did not answer") {
		t.Error("silent:", err)
	}
	stopped, stop := context.WithCancel(t.Context())
	stop()
	if _, err := unitsByBus(stopped, busServer(t, "", twoUnits, all), names); !errors.Is(err, errStopped) {
		t.Error("stopped:", err)
	}
}

func TestUnitPath(t *testing.T) {
	t.Parallel()
	for name, want := range map[string]string{
		"nginx.service":             "nginx_2eservice",
		"getty@tty1.service":        "getty_40tty1_2eservice",
		"srv-my\\x2dmirror.mount":   "srv_2dmy_5cx2dmirror_2emount",
		"3proxy_a.service":          "_33proxy_5fa_2eservice",
		"dev-disk-by\\x2duuid.swap": "dev_2ddisk_2dby_5cx2duuid_2eswap",
	} {
		if got := unitPath(name); got != "/org/freedesktop/systemd1/unit/"+want {
			t.Errorf("%s: %s", name, got)
		}
	}
}

// TestSameUnitsOnHost compares the answers by D-Bus with those of systemctl, for every unit of a
// host and for those with an unusual state. A unit may change between the two questions, but not
// each time.
func TestSameUnitsOnHost(t *testing.T) {
	t.Parallel()
	labtest.Require(t)
	h, c := onHost(t, lab.HostSpec{Name: "sameunits"})
	run := func(argv ...string) string {
		t.Helper()
		out, err := h.Run(t.Context(), argv...)
		if err != nil {
			t.Fatal(err)
		}
		return string(out)
	}
	for name, content := range map[string]string{
		"starting.service":       "[Service]\nType=oneshot\nExecStart=/bin/sleep 1000\n",
		"reloading.service":      "[Service]\nTimeoutSec=infinity\nExecStart=/bin/sleep 1000\nExecReload=/bin/sleep 1000\n[Install]\nWantedBy=multi-user.target\nAlias=other.service\n",
		"stopping.service":       "[Service]\nTimeoutSec=infinity\nExecStart=/bin/sleep 1000\nExecStop=/bin/sleep 1000\n",
		"failed.service":         "[Service]\nType=oneshot\nExecStart=/bin/false\n",
		"damaged.service":        "[Service]\nType=nothing\n",
		"several@.service":       "[Service]\nExecStart=/bin/sleep 1000\n[Install]\nWantedBy=multi-user.target\n",
		"mirror\\x2ddata.target": "[Unit]\nDescription=escaped\n",
	} {
		if err := h.Write("/etc/systemd/system/"+name, []byte(content), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	run("sh", "-c", "systemctl daemon-reload; systemctl mask --now rsync.service; systemctl enable --now reloading.service several@1.service; "+
		"systemctl start stopping.service; systemctl start failed.service; "+
		"systemctl start --no-block starting.service; systemctl reload --no-block reloading.service; systemctl stop --no-block stopping.service")
	names := strings.Fields(run("sh", "-c", "{ systemctl list-units --all --plain --no-legend; systemctl list-unit-files --plain --no-legend; } | "+
		"awk '{print $1}' | grep -v '@[.]' | sort -u; echo several@2.service nosuch.service nosuch@x.timer other.service dbus-org.freedesktop.login1.service"))
	names = slices.DeleteFunc(names, func(name string) bool { return checkUnit(name) != nil })
	if len(names) < 100 {
		t.Fatalf("only %d units", len(names))
	}
	var queries []wire.Query
	for _, name := range names {
		queries = append(queries, wire.Query{Verb: wire.AskUnit, Arg: name})
	}
	states := map[string]bool{}
	compare := func(what, hidden string) {
		t.Helper()
		var different []string
		for tries := 0; tries == 0 || len(different) > 0 && tries < 5; tries++ {
			run("mv", hidden, hidden+".away")
			answers := c.ask(queries...)
			run("mv", hidden+".away", hidden)
			shown := parseShow(run(append([]string{"sh", "-c", `for name; do systemctl show --property=LoadState,ActiveState,UnitFileState,CanReload -- "$name"; echo; done`,
				"sh"}, names...)...))
			different = differentUnits(t, names, answers, shown, states)
		}
		for _, d := range different {
			t.Errorf("%s: %s", what, d)
		}
	}
	compare("by D-Bus", "/usr/bin/systemctl")
	compare("by systemctl", "/run/systemd/private")
	for _, state := range []string{
		"loaded", "not-found", "masked", "bad-setting", "active", "inactive", "activating", "deactivating", "reloading", "failed",
		"enabled", "disabled", "static", "masked", "",
	} {
		if !states[state] {
			t.Errorf("no unit was %q", state)
		}
	}
	// What systemd refuses, systemctl explains.
	if a := c.ask(wire.Query{Verb: wire.AskUnit, Arg: "several@.service"})[0]; !strings.Contains(a.Error, "several@.service") {
		t.Errorf("a template: %+v", a)
	}
}

// differentUnits returns the units whose answers are not what systemctl shows, and notes the states
// that it shows.
func differentUnits(t *testing.T, names []string, answers []wire.Answer, shown []shown, states map[string]bool) (different []string) {
	t.Helper()
	if len(shown) != len(names) {
		t.Fatalf("systemctl shows %d of %d units", len(shown), len(names))
	}
	for i, name := range names {
		want := shown[i].wire()
		if answers[i].Unit == nil || *answers[i].Unit != *want {
			different = append(different, fmt.Sprintf("%s: %+v %s, and systemctl shows %+v", name, answers[i].Unit, answers[i].Error, want))
		}
		states[want.LoadState], states[want.ActiveState], states[want.UnitFileState] = true, true, true
	}
	return different
}

// FuzzBus reads messages from any bytes: no panic, and no more memory than the limits allow.
func FuzzBus(f *testing.F) {
	f.Add(busAnswer(busReply, 7, "v", textVariant("loaded")))
	f.Add(busAnswer(busReply, 7, "v", boolVariant(1)))
	f.Add(busAnswer(busReply, 7, "a{sa{sas}}", zones()))
	f.Add(twoUnits(7))
	f.Add(append(busAnswer(busSignal, 0, "", nil), propertyCall(1, "/", "Id")...))
	f.Fuzz(func(t *testing.T, b []byte) {
		in := bytes.NewReader(b)
		for {
			m, err := readBus(in)
			if err != nil {
				return
			}
			(&busReader{b: m.body}).value(m.signature, 0)
			if units, _ := m.units(); len(units) > len(b)/40 {
				t.Errorf("%d units from %d bytes", len(units), len(b))
			}
			if value, ok := m.property(); len(value) > len(b) || !ok && m.kind == busReply && m.signature == "" && len(value) > 0 {
				t.Errorf("%q from %q", value, b)
			}
		}
	})
}
