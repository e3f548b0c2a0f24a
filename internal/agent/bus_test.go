package agent

import (
	"bufio"
	"context"
	"encoding/binary"
	"errors"
	"net"
	"os"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/mirrorform/mirrorform/engine/wire"
)

// call is a call that a service on the bus has received.
type call struct{ service, object, method, text string }

// serviceBus is a system bus whose services answer by answer: a signature and a body, or the name of
// an error.
func serviceBus(t *testing.T, answer func(call) (kind byte, signature string, body []byte)) (path string) {
	path = t.TempDir() + "/bus"
	l, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go serveBus(t, c, answer)
		}
	}()
	return path
}

func serveBus(t *testing.T, c net.Conn, answer func(call) (byte, string, []byte)) {
	defer func() { _ = c.Close() }()
	in := bufio.NewReader(c)
	login, _ := in.ReadString('\n')
	if want := "\x00AUTH EXTERNAL "; !strings.HasPrefix(login, want) || !strings.HasSuffix(login, "\r\n") {
		t.Errorf("login: %q", login)
		return
	}
	uid := ""
	for _, d := range strconv.Itoa(os.Geteuid()) {
		uid += strconv.FormatInt(int64(d), 16)
	}
	if login != "\x00AUTH EXTERNAL "+uid+"\r\n" {
		t.Errorf("login: %q", login)
	}
	if begin, _ := in.ReadString('\n'); begin != "BEGIN\r\n" {
		t.Errorf("login: %q", begin)
	}
	_, _ = c.Write([]byte("OK 0123\r\n"))
	for {
		head, err := in.Peek(busHeader)
		if err != nil {
			return // the helper has closed
		}
		serial := binary.NativeEndian.Uint32(head[8:])
		size := busHeader + (int(binary.NativeEndian.Uint32(head[12:]))+7)&^7 + int(binary.NativeEndian.Uint32(head[4:]))
		b := make([]byte, size)
		for n := 0; n < size; {
			m, err := in.Read(b[n:])
			if err != nil {
				return
			}
			n += m
		}
		if b[2] != 2 {
			t.Errorf("a call may start a program: flags %d", b[2])
		}
		got := parseCall(b)
		if got.method == "org.freedesktop.DBus.Hello" {
			_, _ = c.Write(busAnswer(busSignal, 0, "s", busText(nil, ":1.7")))
			_, _ = c.Write(busAnswer(busReply, serial, "s", busText(nil, ":1.7")))
			continue
		}
		kind, signature, body := answer(got)
		message := busAnswer(kind, serial, signature, body)
		switch kind {
		case busError: // the signature is the name of the error
			message = errorAnswer(serial, signature)
		case busSignal: // before the answer, and the signature is its name
			message = append(signalOf(signature), busAnswer(busReply, serial, "", nil)...)
		}
		_, _ = c.Write(append(busAnswer(busSignal, 0, "s", busText(nil, "x")), message...))
	}
}

// parseCall reads the fields of a call, and its text.
func parseCall(b []byte) (c call) {
	r := &busReader{b: b[:busHeader+int(binary.NativeEndian.Uint32(b[12:]))], at: busHeader}
	fields := map[byte]string{}
	for r.at < len(r.b) && !r.bad {
		r.align(8)
		code := r.take(1)[0]
		if r.signature() == "g" {
			fields[code] = r.signature()
		} else {
			fields[code] = r.text()
		}
	}
	c = call{service: fields[6], object: fields[1], method: fields[2] + "." + fields[3]}
	if fields[busSignature] == "s" {
		c.text = (&busReader{b: b[(len(r.b)+7)&^7:]}).text()
	}
	return c
}

// signalOf returns a signal with a name and no body.
func signalOf(name string) []byte {
	b := append([]byte{busOrder(), busSignal, 0, 1}, make([]byte, 12)...)
	b[8] = 1
	b = busText(append(b, busMember, 1, 's', 0), name)
	binary.NativeEndian.PutUint32(b[12:], uint32(len(b)-busHeader))
	return busAlign(b, 8)
}

// errorAnswer returns an error with a name and a text.
func errorAnswer(reply uint32, name string) []byte {
	body := busText(nil, "why")
	b := []byte{busOrder(), busError, 0, 1}
	for _, n := range []uint32{uint32(len(body)), 1, 0} {
		b = binary.NativeEndian.AppendUint32(b, n)
	}
	b = binary.NativeEndian.AppendUint32(append(b, busReplyTo, 1, 'u', 0), reply)
	b = busText(append(busAlign(b, 8), busErrorName, 1, 's', 0), name)
	b = append(busAlign(b, 8), busSignature, 1, 'g', 0, 1, 's', 0)
	binary.NativeEndian.PutUint32(b[12:], uint32(len(b)-busHeader))
	return append(busAlign(b, 8), body...)
}

// texts is the body of a list of texts.
func texts(list ...string) []byte {
	var b []byte
	for _, s := range list {
		b = busText(b, s)
	}
	return append(binary.NativeEndian.AppendUint32(nil, uint32(len(b))), b...)
}

// zones is the body of a{sa{sas}}: {"public": {"interfaces": ["eth0", "eth1"]}, "trusted": {}}.
func zones() []byte {
	b := make([]byte, 8) // the length, and the alignment of the first entry
	b = busText(b, "public")
	b = busAlign(b, 4)
	inner := len(b)
	b = busAlign(append(b, 0, 0, 0, 0), 8)
	begin := len(b)
	b = busAlign(busText(b, "interfaces"), 4)
	list := len(b)
	b = append(b, 0, 0, 0, 0)
	b = busText(busText(b, "eth0"), "eth1")
	binary.NativeEndian.PutUint32(b[list:], uint32(len(b)-list-4))
	binary.NativeEndian.PutUint32(b[inner:], uint32(len(b)-begin))
	b = busText(busAlign(b, 8), "trusted")
	b = busAlign(append(busAlign(b, 4), 0, 0, 0, 0), 8)
	binary.NativeEndian.PutUint32(b, uint32(len(b)-8))
	return b
}

func TestAskService(t *testing.T) {
	t.Parallel()
	path := serviceBus(t, func(c call) (byte, string, []byte) {
		if c.service != "org.x" || c.object != "/org/x" {
			t.Errorf("call: %+v", c)
		}
		switch c.method + " " + c.text {
		case "org.x.getDefault ":
			return busReply, "s", busText(nil, "home")
		case "org.x.zone.getAll ":
			return busReply, "a{sa{sas}}", zones()
		case "org.x.zone.getServices trusted":
			return busReply, "as", texts()
		case "org.x.zone.getServices nosuch":
			return busError, "org.x.INVALID_ZONE", nil
		case "org.x.getVariant ":
			return busReply, "v", boolVariant(1)
		}
		return busReply, "as", texts("ssh", c.text)
	})
	got, err := askService(t.Context(), path, "org.x", []string{
		"/org/x", "org.x.getDefault", "org.x.zone.getAll", "org.x.getVariant", "org.x.zone.getServices *", "org.x.zone.getServices nosuch",
	})
	if err != nil {
		t.Fatal(err)
	}
	const want = `{"org.x.getDefault":"home","org.x.getVariant":true,"org.x.zone.getAll":{"public":{"interfaces":["eth0","eth1"]},"trusted":{}},` +
		`"org.x.zone.getServices home":["ssh","home"],"org.x.zone.getServices nosuch":{"error":"org.x.INVALID_ZONE: why"},` +
		`"org.x.zone.getServices public":["ssh","public"],"org.x.zone.getServices trusted":[]}`
	if text := string(wire.Encode(got)); text != want {
		t.Errorf("got  %s\nwant %s", text, want)
	}
}

func TestAskServiceFails(t *testing.T) {
	t.Parallel()
	ask := func(ctx context.Context, name string, kind byte, signature string, body []byte) error {
		path := serviceBus(t, func(call) (byte, string, []byte) { return kind, signature, body })
		_, err := askService(ctx, path, "org.x", []string{"/org/x", name})
		return err
	}
	for _, c := range []struct {
		name, call string
		kind       byte
		signature  string
		body       []byte
		is         error
		says       string
	}{
		{"nothing has the name", "org.x.get", busError, "org.freedesktop.DBus.Error.NameHasNoOwner", nil, errNoService, ""},
		{"nothing can have the name", "org.x.get", busError, "org.freedesktop.DBus.Error.ServiceUnknown", nil, errNoService, ""},
		{"a method that may change something", "org.x.setDefaultZone public", busReply, "", nil, nil, "is not a question"},
		{"a type that is not read", "org.x.get", busReply, "(ss)", texts("a"), errNoBus, ""},
		{"a list that is too long", "org.x.get", busReply, "as", []byte{9, 0, 0, 0, 1, 0, 0, 0, 'a', 0}, errNoBus, ""},
		{"more than a value", "org.x.get", busReply, "s", append(busText(nil, "x"), 0), errNoBus, ""},
		{"deep nesting", "org.x.get", busReply, strings.Repeat("a", 40) + "s", make([]byte, 400), errNoBus, ""},
	} {
		err := ask(t.Context(), c.call, c.kind, c.signature, c.body)
		if err == nil || c.is != nil && !errors.Is(err, c.is) || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%s: %v", c.name, err)
		}
	}
	if _, err := askService(t.Context(), t.TempDir()+"/bus", "org.x", []string{"/org/x"}); !errors.Is(err, errNoService) {
		t.Errorf("no bus: %v", err)
	}
	late, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	hangs := serviceBus(t, func(call) (byte, string, []byte) { <-t.Context().Done(); return busReply, "", nil })
	if _, err := askService(late, hangs, "org.x", []string{"/org/x", "org.x.get"}); !errors.Is(err, errNoResponse) {
		t.Errorf("a service that hangs: %v", err)
	}
}

// firewalld may answer before it has noticed that it is to reload.
func TestFirewalldReloads(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name    string
		service string
		reloads bool
		reports int32 // the question before whose answer Reloaded comes
		asked   int32
		fails   string
	}{
		{"with the third answer", firewalldName, true, 3, 3, ""},
		{"at once", firewalldName, true, 1, 2, ""},
		{"never", firewalldName, true, -1, busPings, "has not reloaded"},
		{"a start", firewalldName, false, -1, 2, ""},
		{"another service", "org.x", true, -1, 2, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			var asked, rules atomic.Int32
			path := serviceBus(t, func(got call) (byte, string, []byte) {
				switch got.method {
				case "org.freedesktop.DBus.AddMatch":
					rules.Add(1)
				case "org.freedesktop.DBus.Peer.Ping":
					if asked.Add(1) == c.reports {
						return busSignal, reloadedSignal, nil
					}
				default:
					t.Errorf("call: %+v", got)
				}
				return busReply, "", nil
			})
			w := watchService(path, c.service, c.reloads)
			defer w.close()
			w.pause = 0
			err := w.settled()
			if (err == nil) != (c.fails == "") || err != nil && !strings.Contains(err.Error(), c.fails) {
				t.Errorf("error: %v", err)
			}
			if asked.Load() != c.asked || (rules.Load() == 1) != (c.service == firewalldName && c.reloads) {
				t.Errorf("asked %d times, %d rules", asked.Load(), rules.Load())
			}
		})
	}
	none := watchService(t.TempDir()+"/bus", firewalldName, true)
	defer none.close()
	if err := none.settled(); err != nil {
		t.Errorf("no bus: %v", err)
	}
}
