package config

import (
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"
	"github.com/mirrorform/mirrorform/internal/lang"
	"github.com/zclconf/go-cty/cty"
)

// Rollout says how an apply goes through the hosts: the rollout block.
type Rollout struct {
	Waves       []Wave
	MaxFailures int           // of hosts; with one more the rollout stops
	RollBack    bool          // the wave in which it stops is taken back
	Pause       time.Duration // between two waves
	SpreadBy    string        // a label: two hosts with one value of it are never at work at once; "" is none
	Gate        *Gate         // what has to pass after each wave; nil: nothing
}

// Wave is one part of a rollout. Each host but host local is in one wave.
type Wave struct {
	Title string // as it is written: "wave=canary", "25%"
	Hosts []string
}

// Gate is what has to pass after each wave.
type Gate struct {
	Verify  bool     // the mirrors of the wave, looked at from outside
	Command []string // argv of a program on this machine; nil is none
	Timeout time.Duration
}

// rolloutBlock is a rollout block as it is declared.
type rolloutBlock struct {
	body   *hclsyntax.Body
	header hcl.Range
}

// rolloutArguments are the arguments of a rollout block.
type rolloutArguments struct {
	Waves       []string       `hcl:"waves,optional"`
	MaxFailures *string        `hcl:"max_failures,optional"`
	OnFailure   *string        `hcl:"on_failure,optional"`
	Pause       *string        `hcl:"pause,optional"`
	SpreadBy    *string        `hcl:"spread_by,optional"`
	Gate        *gateArguments `hcl:"gate,block"`
}

type gateArguments struct {
	Verify  *bool    `hcl:"verify,optional"`
	Command []string `hcl:"command,optional"`
	Timeout *string  `hcl:"timeout,optional"`
}

const (
	defaultGateTimeout = 10 * time.Minute
	maxRolloutDuration = 24 * time.Hour
)

var (
	onFailures  = []string{"stop", "roll_back"}
	rolloutSize = regexp.MustCompile(`^([0-9]+)(%?)$`)
)

func (d *declarations) declareRollout(b *hclsyntax.Block) hcl.Diagnostics {
	diags := d.eval.Structure(b.Body, b.DefRange(), lang.MustShape[rolloutArguments](), "a rollout", nil)
	if d.rollout != nil {
		return append(diags, lang.ErrorAt(b.DefRange(), "Repeated block", "There can be one rollout only; the first is at %s.", lang.Place(d.rollout.header)))
	}
	d.rollout = &rolloutBlock{b.Body, b.DefRange()}
	return diags
}

// place evaluates the rollout block and shares the hosts out among its waves. It is nil where that
// is not known.
func (b *rolloutBlock) place(e *lang.Evaluator, ctx *hcl.EvalContext, inv *inventory) (*Rollout, hcl.Diagnostics) {
	var a rolloutArguments
	d := lang.NewDecoder(e, ctx)
	d.Early = true
	d.RefuseSensitive = func(string, *lang.Field) string { return "what says how hosts are rolled out to is printed" }
	diags := d.Fill(b.body, &a)
	if diags.HasErrors() || len(d.Unknown)+len(d.Failed) > 0 {
		return nil, diags
	}
	if inv.incomplete() {
		return nil, diags // which of them the rollout means is not known
	}
	r := &rolloutReader{body: b.body, header: b.header}
	for _, h := range inv.list {
		if !h.Local {
			r.hosts = append(r.hosts, h)
		}
	}
	rollout := r.read(&a)
	return rollout, append(diags, r.diags...)
}

// rolloutReader turns arguments into a Rollout.
type rolloutReader struct {
	body   *hclsyntax.Body
	header hcl.Range
	hosts  []*Host
	diags  hcl.Diagnostics
}

// wrong reports an argument of the block, or of the block gate in it.
func (r *rolloutReader) wrong(name, format string, args ...any) {
	at, body := r.header, r.body
	if inner, isGate := strings.CutPrefix(name, "gate."); isGate {
		body, name = lang.NestedBlock(body, "gate", 0).Body, inner
	}
	if attr := body.Attributes[name]; attr != nil {
		at = attr.Expr.Range()
	}
	r.wrongAt(at, name, format, args...)
}

// wrongElement reports an element of an argument that is a list.
func (r *rolloutReader) wrongElement(name string, index int, format string, args ...any) {
	expr := r.body.Attributes[name].Expr
	r.wrongAt(lang.ElementRange(expr, cty.IndexPath(cty.NumberIntVal(int64(index))).NewErrorf("")), name, format, args...)
}

func (r *rolloutReader) wrongAt(at hcl.Range, name, format string, args ...any) {
	r.diags = append(r.diags, lang.ErrorAt(at, "Invalid "+strings.ReplaceAll(name, "_", " "), "%s", fmt.Sprintf(format, args...)))
}

func (r *rolloutReader) read(a *rolloutArguments) *Rollout {
	out := &Rollout{}
	if a.MaxFailures != nil {
		n, ok := r.size(*a.MaxFailures, false)
		if out.MaxFailures = n; !ok {
			r.wrong("max_failures", "%q is no number of hosts, such as 1 or \"10%%\".", *a.MaxFailures)
		}
	}
	if a.OnFailure != nil {
		if !slices.Contains(onFailures, *a.OnFailure) {
			r.wrong("on_failure", "What can be done on failure is stop and roll_back, not %q.%s", *a.OnFailure, lang.DidYouMean(*a.OnFailure, onFailures))
		}
		out.RollBack = *a.OnFailure == "roll_back"
	}
	out.Pause = r.duration("pause", a.Pause, 0)
	if a.SpreadBy != nil {
		out.SpreadBy = *a.SpreadBy
		var labels []string
		for _, h := range r.hosts {
			labels = append(labels, lang.SortedKeys(h.Labels)...)
		}
		if !slices.Contains(labels, out.SpreadBy) && len(r.hosts) > 0 {
			r.wrong("spread_by", "No host has a label named %q.%s", out.SpreadBy, lang.DidYouMean(out.SpreadBy, labels))
		}
	}
	if g := a.Gate; g != nil {
		out.Gate = &Gate{Verify: g.Verify != nil && *g.Verify, Command: g.Command, Timeout: r.duration("gate.timeout", g.Timeout, defaultGateTimeout)}
		if g.Command != nil && (len(g.Command) == 0 || g.Command[0] == "" || strings.ContainsRune(strings.Join(g.Command, ""), 0)) {
			r.wrong("gate.command", "The command is a list with the name of a program and its arguments, as in [\"./smoke-test\", \"--quick\"]. There is no shell.")
		}
		if !out.Gate.Verify && g.Command == nil {
			r.diags = append(r.diags, lang.ErrorAt(lang.NestedBlock(r.body, "gate", 0).DefRange(), "Empty gate", "A gate needs verify = true, a command, or both."))
		}
	}
	out.Waves = r.waves(a.Waves)
	return out
}

// duration reads a duration of at most a day.
func (r *rolloutReader) duration(name string, text *string, otherwise time.Duration) time.Duration {
	if text == nil {
		return otherwise
	}
	d, err := time.ParseDuration(*text)
	if err != nil || d <= 0 || d > maxRolloutDuration {
		r.wrong(name, "%q is not a duration of at most a day, such as \"10m\" or \"1h30m\".", *text)
	}
	return d
}

// size reads a number of hosts, or a percentage of all. Where at least one is needed, a percentage is rounded up.
func (r *rolloutReader) size(text string, needed bool) (n int, ok bool) {
	m := rolloutSize.FindStringSubmatch(text)
	if m == nil {
		return 0, false
	}
	n, err := strconv.Atoi(m[1])
	if err != nil || needed && n == 0 || m[2] != "" && n > 100 {
		return 0, false
	}
	if m[2] == "" {
		return n, true
	}
	if needed {
		return max((len(r.hosts)*n+99)/100, 1), true
	}
	return len(r.hosts) * n / 100, true
}

// waves shares the hosts out: each element takes of those that are left, in the order of their declaration. What no element takes comes in waves of the
// last size, or where the last is no size in one wave.
func (r *rolloutReader) waves(elements []string) []Wave {
	left := slices.Clone(r.hosts)
	var waves []Wave
	take := func(title string, wanted func(n int, h *Host) bool) {
		w := Wave{Title: title}
		n := 0
		left = slices.DeleteFunc(left, func(h *Host) bool {
			if !wanted(n, h) {
				return false
			}
			n++
			w.Hosts = append(w.Hosts, h.Name)
			return true
		})
		if n > 0 {
			waves = append(waves, w)
		}
	}
	title, last := "the rest", 0
	for i, text := range elements {
		title, last = "the rest", 0
		if rolloutSize.MatchString(text) {
			size, ok := r.size(text, true)
			if !ok {
				r.wrongElement("waves", i, "%q is neither a number of hosts from 1 nor a percentage from \"1%%\" to \"100%%\".", text)
				continue
			}
			title, last = text, size
			take(title, func(n int, _ *Host) bool { return n < last })
			continue
		}
		s, err := ParseSelector(text)
		if err != nil {
			r.wrongElement("waves", i, "A wave is a number of hosts, a percentage, labels as \"wave=canary\", or hosts: %s.", err)
			continue
		}
		if none := s.Unmatched(r.hosts); none != "" {
			r.wrongElement("waves", i, "%q means no host of this configuration.", none)
			continue
		}
		take(text, func(_ int, h *Host) bool { return s.Match(h) })
	}
	for len(left) > 0 {
		size := last
		if size == 0 {
			size = len(left)
		}
		take(title, func(n int, _ *Host) bool { return n < size })
	}
	return waves
}
