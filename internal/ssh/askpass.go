package ssh

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"strings"
	"sync"
)

// askpassVariable is the environment variable by which this program, started by ssh as its
// SSH_ASKPASS, knows the socket of the run that started ssh.
const askpassVariable = "MIRRORFORM_SSH_ASKPASS"

// question is what ssh asks: a passphrase, a PIN, a one-time code, a confirmation.
type question struct {
	Text string `json:"text"`
	Kind string `json:"kind"` // ssh's SSH_ASKPASS_PROMPT: "confirm", "none" for a notice, or ""
}

// reply is the operator's answer.
type reply struct {
	Text    string `json:"text"`
	Refused bool   `json:"refused"`
}

// hasTerminal reports whether there is a terminal to ask on.
var hasTerminal = sync.OnceValue(func() bool {
	tty, err := os.OpenFile("/dev/tty", os.O_RDWR, 0)
	if err != nil {
		return false
	}
	_ = tty.Close()
	return true
})

// Askpass answers a question of ssh, if ssh has started this process for that: it passes the
// question to the run that has started ssh, and prints the answer. asked is false otherwise.
func Askpass(args []string, out io.Writer) (status int, asked bool) {
	socket := os.Getenv(askpassVariable)
	if socket == "" {
		return 0, false
	}
	answer, err := askRun(socket, question{Text: strings.Join(args, " "), Kind: os.Getenv("SSH_ASKPASS_PROMPT")})
	if err != nil || answer.Refused {
		return 1, true
	}
	if _, err := fmt.Fprintln(out, answer.Text); err != nil {
		return 1, true
	}
	return 0, true
}

func askRun(socket string, q question) (answer reply, err error) {
	conn, err := net.Dial("unix", socket) //nolint:noctx // a local socket answers at once
	if err != nil {
		return answer, err
	}
	defer func() { err = errors.Join(err, conn.Close()) }()
	if err := json.NewEncoder(conn).Encode(q); err != nil {
		return answer, err
	}
	return answer, json.NewDecoder(conn).Decode(&answer)
}

// answerOpenSSH makes a command's questions come to this process, and answers them until the
// command has ended.
func (d *Dialer) answerOpenSSH(ctx context.Context, g *guard, m *master, cmd *exec.Cmd) error {
	self, err := os.Executable()
	if err != nil {
		return fmt.Errorf("ssh's questions cannot be passed on: %w", err)
	}
	path := m.socket + ".ask"
	if m.asked, err = net.Listen("unix", path); err != nil { //nolint:noctx // in a private directory
		return fmt.Errorf("a socket for ssh's questions: %w", err)
	}
	cmd.Env = append(cmd.Env, askpassVariable+"="+path, "SSH_ASKPASS="+self, "SSH_ASKPASS_REQUIRE=force")
	if os.Getenv("DISPLAY") == "" { // OpenSSH before 8.4 asks for it
		cmd.Env = append(cmd.Env, "DISPLAY=mirrorform")
	}
	go func() {
		for {
			conn, err := m.asked.Accept()
			if err != nil {
				return
			}
			d.answerOne(ctx, g, m, conn)
		}
	}()
	return nil
}

// answerOne answers one question. Nobody but this user can ask one: the directory is private.
func (d *Dialer) answerOne(ctx context.Context, g *guard, m *master, conn net.Conn) {
	defer func() { _ = conn.Close() }()
	var q question
	if json.NewDecoder(io.LimitReader(conn, maxNoise)).Decode(&q) != nil {
		return
	}
	if q.Kind == "none" {
		d.opts.Log(fmt.Sprintf("host %s: ssh: %s", m.target.Name, shorten(q.Text)))
		_ = json.NewEncoder(conn).Encode(reply{})
		return
	}
	asking := &questions{ring: d.keys, host: "ssh for host " + m.target.Name}
	text, err := asking.ask(ctx, g.pause, shorten(q.Text))
	_ = json.NewEncoder(conn).Encode(reply{Text: text, Refused: err != nil})
}

// stopAsking ends the answering of questions.
func (m *master) stopAsking() {
	if m.asked != nil {
		_ = m.asked.Close()
	}
}
