package agent

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"

	"github.com/mirrorform/mirrorform/engine/wire"
	"golang.org/x/sys/unix"
)

// Questions to services on the system bus, such as firewalld: its own client is a Python program,
// which takes 0.2 s to start.

const systemBus = "/run/dbus/system_bus_socket"

// askBus answers AskBus.
func (b *batch) askBus(q wire.Query) wire.Answer {
	results, err := askService(b.ctx, systemBus, q.Arg, q.Args)
	switch {
	case errors.Is(err, errNoService):
		return wire.Answer{Bus: &wire.Bus{Absent: true}}
	case errors.Is(err, errNoResponse):
		err = fmt.Errorf("%s did not answer within %s", q.Arg, period(queryTimeout))
	case errors.Is(err, errNoBus):
		err = fmt.Errorf("%s: no valid answer on the system bus", q.Arg)
	}
	if err != nil {
		return failed(err)
	}
	return wire.Answer{Bus: &wire.Bus{Results: string(wire.Encode(results))}}
}

// errNoService means that nothing has the name of a service on the bus.
var errNoService = errors.New("no such service on the bus")

// askService makes the calls of an AskBus question, and returns their results.
func askService(ctx context.Context, path, service string, args []string) (map[string]any, error) {
	if len(args) == 0 {
		return nil, errors.New("bus: the object is missing")
	}
	ctx, cancel := context.WithTimeout(ctx, queryTimeout)
	defer cancel()
	s, err := openBus(ctx, path)
	if err != nil {
		return nil, err
	}
	defer closeFD(s.fd)
	results := map[string]any{}
	var names []string
	for _, call := range args[1:] {
		calls := []string{call}
		if of, all := strings.CutSuffix(call, " *"); all {
			calls = nil
			for _, name := range names {
				calls = append(calls, of+" "+name)
			}
		}
		for _, call := range calls {
			v, err := s.get(service, args[0], call)
			if err != nil {
				return nil, err
			}
			results[call] = v
			if !strings.Contains(call, " ") {
				names = append(names, namesIn(v)...)
			}
		}
	}
	return results, nil
}

// namesIn returns the names in a result: a text, or the keys of a dictionary.
func namesIn(v any) (names []string) {
	switch v := v.(type) {
	case string:
		names = []string{v}
	case map[string]any:
		for s := range v {
			names = append(names, s)
		}
	}
	return names
}

// busConnection is a connection to the system bus.
type busConnection struct {
	*socket
	in       *bufio.Reader
	serial   uint32
	reloaded bool // reloadedSignal has come
}

// openBus connects to the system bus, as the helper's user.
func openBus(ctx context.Context, path string) (*busConnection, error) {
	fd, err := reach(ctx, unix.AF_UNIX, &unix.SockaddrUnix{Name: path})
	if absent(err) {
		return nil, errNoService // nor a bus
	}
	if err != nil {
		return nil, fmt.Errorf("connect to the system bus: %w", err)
	}
	s := &busConnection{socket: &socket{ctx, fd}}
	s.in = bufio.NewReader(s.socket)
	login := fmt.Sprintf("\x00AUTH EXTERNAL %x\r\nBEGIN\r\n", strconv.Itoa(os.Geteuid()))
	if err = s.sendAll([]byte(login)); err == nil {
		var line string
		if line, err = s.in.ReadString('\n'); err == nil && !strings.HasPrefix(line, "OK ") {
			err = errNoBus
		}
	}
	const bus = "org.freedesktop.DBus"
	if err == nil {
		_, err = s.call(bus, "/org/freedesktop/DBus", bus, "Hello")
	}
	if err != nil {
		closeFD(fd)
		return nil, err
	}
	return s, nil
}

// get makes a call of an AskBus question, and returns its result. The name of the method must say
// that it changes nothing.
func (s *busConnection) get(service, object, call string) (any, error) {
	name, text, given := strings.Cut(call, " ")
	of, method, _ := cutLast(name, ".")
	if !strings.HasPrefix(method, "get") {
		return nil, fmt.Errorf("bus: %s is not a question", quote(name))
	}
	var texts []string
	if given {
		texts = []string{text}
	}
	m, err := s.call(service, object, of, method, texts...)
	if err != nil {
		return nil, err
	}
	r := &busReader{b: m.body}
	if m.kind == busError {
		why := m.failure
		if strings.HasPrefix(m.signature, "s") {
			why += ": " + r.text()
		}
		return map[string]any{"error": why}, nil
	}
	v, rest := r.value(m.signature, 0)
	if r.bad || rest != "" || r.at != len(r.b) {
		return nil, errNoBus
	}
	return v, nil
}

// call calls a method, and waits for the answer.
func (s *busConnection) call(service, object, of, method string, texts ...string) (*busMessage, error) {
	s.serial++
	if err := s.sendAll(methodCall(s.serial, service, object, of, method, texts...)); err != nil {
		return nil, err
	}
	for {
		m, err := readBus(s.in)
		switch {
		case err != nil:
			return nil, err
		case m.reply != s.serial:
			s.reloaded = s.reloaded || m.kind == busSignal && m.member == reloadedSignal
		case strings.HasSuffix(m.failure, ".ServiceUnknown"), strings.HasSuffix(m.failure, ".NameHasNoOwner"):
			return nil, errNoService
		default:
			return m, nil
		}
	}
}

// maxBusDepth limits the nesting of values.
const maxBusDepth = 16

// value reads the first value of a signature, and returns what follows in the signature. It reads
// texts, booleans, numbers of 32 bits, variants, lists, and dictionaries by text of these.
func (r *busReader) value(signature string, depth int) (v any, rest string) {
	if r.bad = r.bad || signature == "" || depth > maxBusDepth; r.bad {
		return nil, ""
	}
	rest = signature[1:]
	switch signature[0] {
	case 's', 'o':
		return r.text(), rest
	case 'b':
		return r.number() != 0, rest
	case 'u':
		return r.number(), rest
	case 'v':
		of := r.signature()
		v, more := r.value(of, depth+1)
		r.bad = r.bad || more != ""
		return v, rest
	case 'a':
		return r.array(rest, depth)
	}
	r.bad = true
	return nil, ""
}

// array reads a list, or a dictionary. The signature begins with that of an element.
func (r *busReader) array(signature string, depth int) (v any, rest string) {
	size := int(min(r.number(), 2*maxBus))
	element, dictionary := strings.CutPrefix(signature, "{s")
	if dictionary {
		r.align(8)
	}
	end := r.at + size
	list, byKey := []any{}, map[string]any{}
	for r.at < end && !r.bad {
		began := r.at
		key := ""
		if dictionary {
			r.align(8)
			key = r.text()
		}
		e, _ := r.value(element, depth+1)
		if dictionary {
			byKey[key] = e
		} else {
			list = append(list, e)
		}
		r.bad = r.bad || r.at == began
	}
	r.bad = r.bad || r.at != end
	rest = element[typeSize(element):]
	if dictionary {
		return byKey, strings.TrimPrefix(rest, "}")
	}
	return list, rest
}

// typeSize returns the length of the first complete type of a signature.
func typeSize(signature string) int {
	open := 0
	for i, c := range []byte(signature) {
		switch c {
		case '{':
			open++
		case '}':
			open--
		}
		if open <= 0 && c != 'a' {
			return i + 1
		}
	}
	return len(signature)
}
