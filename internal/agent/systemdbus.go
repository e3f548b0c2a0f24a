package agent

import (
	"bufio"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/mirrorform/mirrorform/engine/wire"
	"golang.org/x/sys/unix"
)

// Questions about units go to systemd by D-Bus, over the socket that systemctl(1) uses for root:
// starting systemctl takes longer than all other questions of a usual plan together. One call asks
// for the states of many units, and calls of Properties.Get for the rest: systemd reads the files
// of a unit that it has not loaded again for each call.

const (
	systemdSocket = "/run/systemd/private"
	maxBus        = 64 << 10 // bytes of a message
	// listed is how many units one call asks for. Their answer is well below maxBus.
	listed = 50
)

// errNoBus means that systemctl has to be asked: it may know what to do, or explains it better.
var errNoBus = errors.New("no answer by D-Bus")

// unitsByBus asks systemd about units whose names were checked. The results have the order of the
// names.
func unitsByBus(ctx context.Context, path string, names []string) ([]*wire.Unit, error) {
	ctx, cancel := context.WithTimeout(ctx, queryTimeout)
	defer cancel()
	fd, err := reach(ctx, unix.AF_UNIX, &unix.SockaddrUnix{Name: path})
	if err != nil {
		return nil, errNoBus
	}
	defer closeFD(fd)
	s := &systemdBus{socket: &socket{ctx, fd}}
	s.in = bufio.NewReader(s.socket)
	var units []*wire.Unit
	if err = s.logIn(); err == nil {
		units, err = s.units(names)
	}
	if err == nil {
		err = s.complete(units, names)
	}
	switch {
	case errors.Is(err, errNoResponse): // systemctl would wait as long once more
		return nil, fmt.Errorf("systemd did not answer within %s", period(queryTimeout))
	case errors.Is(err, errStopped):
		return nil, err
	case err != nil:
		return nil, errNoBus
	}
	return units, nil
}

// systemdBus is a connection to systemd.
type systemdBus struct {
	*socket
	in     *bufio.Reader
	serial uint32 // of the last call
}

// logIn authenticates. Calls have to wait until it is done: a call that systemd reads together with
// the last line of it is not looked at before the next one arrives.
func (s *systemdBus) logIn() error {
	if err := s.sendAll([]byte("\x00AUTH EXTERNAL 30\r\nBEGIN\r\n")); err != nil { // "0", the user ID of root, in hex
		return err
	}
	line, err := s.in.ReadString('\n')
	if err == nil && !strings.HasPrefix(line, "OK ") {
		err = errNoBus
	}
	return err
}

// units returns the units with the states that one call has for many of them.
func (s *systemdBus) units(names []string) (units []*wire.Unit, err error) {
	var messages []byte
	first := s.serial
	for some := range slices.Chunk(names, listed) {
		s.serial++
		messages = append(messages, listCall(s.serial, some)...)
	}
	if err := s.sendAll(messages); err != nil {
		return nil, err
	}
	answers, err := s.answers(first)
	for _, m := range answers {
		some, ok := m.units()
		if !ok {
			return nil, errNoBus
		}
		units = append(units, some...)
	}
	if err == nil && len(units) != len(names) {
		err = errNoBus
	}
	return units, err
}

// complete adds what the list of units does not have. A unit without a file has neither.
func (s *systemdBus) complete(units []*wire.Unit, names []string) error {
	var messages []byte
	var found []*wire.Unit
	first := s.serial
	for i, u := range units {
		if u.LoadState == "not-found" {
			continue
		}
		found = append(found, u)
		for _, property := range []string{"UnitFileState", "CanReload"} {
			s.serial++
			messages = append(messages, propertyCall(s.serial, unitPath(names[i]), property)...)
		}
	}
	if err := s.sendAll(messages); err != nil {
		return err
	}
	answers, err := s.answers(first)
	if err != nil {
		return err
	}
	for i, u := range found {
		state, known := answers[2*i].property()
		reload, also := answers[2*i+1].property()
		if !known || !also {
			return errNoBus
		}
		u.UnitFileState, u.CanReload = state, reload == "yes"
	}
	return nil
}

// answers reads the answers to the calls after first, and returns them in the order of the calls.
func (s *systemdBus) answers(first uint32) ([]*busMessage, error) {
	answers := make([]*busMessage, s.serial-first)
	for left := len(answers); left > 0; {
		m, err := readBus(s.in)
		if err != nil {
			return nil, err
		}
		if m.kind == busSignal {
			continue // the socket also has what systemd reports to everybody
		}
		n := int(m.reply) - int(first) - 1
		if n < 0 || n >= len(answers) || answers[n] != nil {
			return nil, errNoBus
		}
		answers[n] = m
		left--
	}
	return answers, nil
}

// unitPath returns the object of a unit, with all but letters and digits escaped as systemd does
// (sd_bus_path_encode(3)).
func unitPath(name string) string {
	b := []byte("/org/freedesktop/systemd1/unit/")
	for i, c := range []byte(name) {
		if c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' && i > 0 {
			b = append(b, c)
		} else {
			b = append(b, '_', "0123456789abcdef"[c>>4], "0123456789abcdef"[c&15])
		}
	}
	return string(b)
}

// The types of messages, and the size of their header before its fields.
const (
	busCall, busReply, busError, busSignal = 1, 2, 3, 4

	busHeader = 16
)

// busOrder returns the first byte of messages in the byte order of this machine.
func busOrder() byte {
	if binary.NativeEndian.Uint16([]byte{0, 1}) == 1 {
		return 'B'
	}
	return 'l'
}

// propertyCall returns a message that asks for one property of a unit.
func propertyCall(serial uint32, object, property string) []byte {
	return methodCall(serial, systemdName, object, "org.freedesktop.DBus.Properties", "Get", "org.freedesktop.systemd1.Unit", property)
}

const systemdName = "org.freedesktop.systemd1"

// listCall returns a message that asks for the states of units.
func listCall(serial uint32, names []string) []byte {
	body := make([]byte, 4)
	for _, name := range names {
		body = busText(body, name)
	}
	binary.NativeEndian.PutUint32(body, uint32(len(body)-4))
	return busRequest(serial, systemdName, "/org/freedesktop/systemd1", "org.freedesktop.systemd1.Manager", "ListUnitsByNames", "as", body)
}

// methodCall returns a message that calls a method with at most two texts.
func methodCall(serial uint32, service, object, of, method string, texts ...string) []byte {
	var body []byte
	for _, s := range texts {
		body = busText(body, s)
	}
	return busRequest(serial, service, object, of, method, "ss"[:len(texts)], body)
}

// busRequest returns a message that calls a method. It starts no program that has the name of the
// service.
func busRequest(serial uint32, service, object, of, method, signature string, body []byte) []byte {
	const noAutoStart = 2
	b := []byte{busOrder(), busCall, noAutoStart, 1}
	for _, n := range []uint32{uint32(len(body)), serial, 0} {
		b = binary.NativeEndian.AppendUint32(b, n)
	}
	// Each field of the header has a code and a variant: path, interface, method, destination.
	fields := []string{object, of, method, service}
	for i, code := range []byte{1, 2, 3, 6} {
		b = busText(append(busAlign(b, 8), code, 1, "osss"[i], 0), fields[i])
	}
	if signature != "" {
		b = append(busAlign(b, 8), busSignature, 1, 'g', 0, byte(len(signature)))
		b = append(append(b, signature...), 0)
	}
	binary.NativeEndian.PutUint32(b[12:], uint32(len(b)-busHeader))
	return append(busAlign(b, 8), body...)
}

func busAlign(b []byte, n int) []byte {
	for len(b)%n != 0 {
		b = append(b, 0)
	}
	return b
}

func busText(b []byte, s string) []byte {
	b = binary.NativeEndian.AppendUint32(busAlign(b, 4), uint32(len(s)))
	return append(append(b, s...), 0)
}

// Codes of fields.
const busMember, busErrorName, busReplyTo, busSignature = 3, 4, 5, 8

// busMessage is a message, as far as it matters here.
type busMessage struct {
	kind      byte
	reply     uint32 // the call that it answers
	member    string // the name of a signal
	failure   string // the name of an error
	signature string
	body      []byte
}

// readBus reads a message.
func readBus(in io.Reader) (*busMessage, error) {
	b := make([]byte, busHeader, 1<<10)
	if _, err := io.ReadFull(in, b); err != nil {
		return nil, err
	}
	body, fields := binary.NativeEndian.Uint32(b[4:]), binary.NativeEndian.Uint32(b[12:])
	if b[0] != busOrder() || b[3] != 1 || body > maxBus || fields > maxBus {
		return nil, errNoBus
	}
	head := busHeader + (int(fields)+7)&^7
	b = append(b, make([]byte, head-busHeader+int(body))...)
	if _, err := io.ReadFull(in, b[busHeader:]); err != nil {
		return nil, err
	}
	m := &busMessage{kind: b[1], body: b[head:]}
	for r := (&busReader{b: b[:busHeader+int(fields)], at: busHeader}); r.at < len(r.b); {
		r.align(8)
		code := r.take(1)[0]
		switch kind := r.signature(); {
		case kind == "s" && code == busMember:
			m.member = r.text()
		case kind == "s" && code == busErrorName:
			m.failure = r.text()
		case kind == "s" || kind == "o":
			r.text()
		case kind == "u" && code == busReplyTo:
			m.reply = r.number()
		case kind == "u":
			r.number()
		case kind == "g" && code == busSignature:
			m.signature = r.signature()
		default:
			r.bad = true
		}
		if r.bad {
			return nil, errNoBus
		}
	}
	return m, nil
}

// units returns the units of a list. ok is false if the message is not the answer to
// ListUnitsByNames, whose units have: name, description, load state, active state, sub state, unit
// that it follows, object, and the number, type and object of a job (org.freedesktop.systemd1(5)).
func (m *busMessage) units() (units []*wire.Unit, ok bool) {
	if m.kind != busReply || m.signature != "a(ssssssouso)" {
		return nil, false
	}
	r := &busReader{b: m.body}
	for r.number(); r.at < len(r.b) && !r.bad; {
		r.align(8)
		var texts [7]string
		for i := range texts {
			texts[i] = r.text()
		}
		r.number()
		r.text()
		r.text()
		units = append(units, &wire.Unit{LoadState: texts[2], ActiveState: texts[3]})
	}
	return units, !r.bad
}

// property returns the value of a property as systemctl shows it. ok is false if the message is not
// the answer to Properties.Get: it may be an error.
func (m *busMessage) property() (value string, ok bool) {
	if m.kind != busReply || m.signature != "v" {
		return "", false
	}
	r := &busReader{b: m.body}
	switch r.signature() {
	case "s":
		value = r.text()
	case "b":
		value = "no"
		if r.number() != 0 {
			value = "yes"
		}
	default:
		return "", false
	}
	return value, !r.bad && r.at == len(r.b)
}

// busReader reads values. What is read beyond the end is zero, and bad is set.
type busReader struct {
	b   []byte
	at  int
	bad bool
}

func (r *busReader) take(n int) []byte {
	if r.bad || n < 0 || n > len(r.b)-r.at {
		r.bad = true
		return make([]byte, 4)
	}
	r.at += n
	return r.b[r.at-n : r.at]
}

func (r *busReader) align(n int) { r.take((n - r.at%n) % n) }

func (r *busReader) number() uint32 {
	r.align(4)
	return binary.NativeEndian.Uint32(r.take(4))
}

func (r *busReader) text() string { return r.ended(int(min(r.number(), 2*maxBus))) }

func (r *busReader) signature() string { return r.ended(int(r.take(1)[0])) }

// ended reads n bytes, and the zero after them.
func (r *busReader) ended(n int) string {
	s := string(r.take(n))
	r.bad = r.take(1)[0] != 0 || r.bad
	return s
}
