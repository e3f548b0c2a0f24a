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

// Rollout is the rollout block: the order and the limits of an apply on many hosts.
type Rollout struct {
	Waves       []Wave
	MaxFailures int           // failed hosts that are tolerated; one more stops the rollout
	RollBack    bool          // roll back the wave in which the rollout stops
	Pause       time.Duration // between two waves
	SpreadBy    string        // a label; hosts with the same value are never changed at the same time; "" is not set
	Gate        *Gate         // a check that must pass after each wave; nil is not set
}

// Wave is one part of a rollout. Each host except host local is in one wave.
type Wave struct {
	Title string // text of the element in waves: "wave=canary", "25%"
	Hosts []string
}

// Gate is a check that must pass after each wave.
type Gate struct {
	Verify  bool     // verify the mirrors of the wave from outside
	Command []string // argv of a program on this machine; nil is not set
	Timeout time.Duration
}

// rolloutBlock is a rollout block before it is evaluated.
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
		return append(diags, lang.ErrorAt(b.DefRange(), "Repeated block",
			"Only one rollout block is allowed. The first one is at %s.", lang.Place(d.rollout.header)))
	}
	d.rollout = &rolloutBlock{b.Body, b.DefRange()}
	return diags
}

// place evaluates the rollout block and assigns the hosts to its waves. The result is nil if hosts
// or arguments are not known.
func (b *rolloutBlock) place(e *lang.Evaluator, ctx *hcl.EvalContext, inv *inventory) (*Rollout, hcl.Diagnostics) {
	var a rolloutArguments
	d := lang.NewDecoder(e, ctx)
	d.Early = true
	d.RefuseSensitive = func(string, *lang.Field) string { return "the settings of a rollout are printed" }
	diags := d.Fill(b.body, &a)
	if diags.HasErrors() || len(d.Unknown)+len(d.Failed) > 0 {
		return nil, diags
	}
	if inv.incomplete() {
		return nil, diags // the hosts of the waves are not known
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

// rolloutReader makes a Rollout from the arguments of its block.
type rolloutReader struct {
	body   *hclsyntax.Body
	header hcl.Range
	hosts  []*DeclaredHost
	diags  hcl.Diagnostics
}

// wrong reports an error of an argument of the block or of its gate block.
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

// wrongElement reports an error of an element of a list argument.
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
			r.wrong("max_failures", "%q is not a number or a percentage of hosts, such as 1 or \"10%%\".", *a.MaxFailures)
		}
	}
	if a.OnFailure != nil {
		if !slices.Contains(onFailures, *a.OnFailure) {
			r.wrong("on_failure", "%q is not an action. Use stop or roll_back.%s",
				*a.OnFailure, lang.DidYouMean(*a.OnFailure, onFailures))
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
			r.wrong("gate.command", "The command must be a list with a program and its arguments, "+
				"as in [\"./smoke-test\", \"--quick\"]. It runs without a shell.")
		}
		if !out.Gate.Verify && g.Command == nil {
			r.diags = append(r.diags, lang.ErrorAt(lang.NestedBlock(r.body, "gate",
				0).DefRange(), "Empty gate", "A gate needs verify = true, a command, or both."))
		}
	}
	out.Waves = r.waves(a.Waves)
	return out
}

// duration parses a duration of at most a day.
func (r *rolloutReader) duration(name string, text *string, otherwise time.Duration) time.Duration {
	if text == nil {
		return otherwise
	}
	d, err := time.ParseDuration(*text)
	if err != nil || d <= 0 || d > maxRolloutDuration {
		r.wrong(name, "%q is not a duration greater than zero and up to 24h, such as \"10m\" or \"1h30m\".", *text)
	}
	return d
}

// size parses a number of hosts or a percentage of all hosts. With needed, the number must be
// greater than zero, and a percentage is rounded up.
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

// waves assigns the hosts to waves. Each element takes some of the remaining hosts, in the order of
// their declaration. Hosts that no element takes follow in waves of the last size, or in one wave
// if the last element is not a size.
func (r *rolloutReader) waves(elements []string) []Wave {
	left := slices.Clone(r.hosts)
	var waves []Wave
	take := func(title string, wanted func(n int, h *DeclaredHost) bool) {
		w := Wave{Title: title}
		n := 0
		left = slices.DeleteFunc(left, func(h *DeclaredHost) bool {
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
				r.wrongElement("waves", i,
					"%q is neither a number of hosts greater than zero nor a percentage from \"1%%\" to \"100%%\".", text)
				continue
			}
			title, last = text, size
			take(title, func(n int, _ *DeclaredHost) bool { return n < last })
			continue
		}
		s, err := ParseSelector(text)
		if err != nil {
			r.wrongElement("waves", i,
				"A wave is a number of hosts, a percentage, labels such as \"wave=canary\", or names of hosts: %s.", err)
			continue
		}
		if none := s.Unmatched(r.hosts); none != "" {
			r.wrongElement("waves", i, "%q selects no host of this configuration.", none)
			continue
		}
		take(text, func(_ int, h *DeclaredHost) bool { return s.Match(h) })
	}
	for len(left) > 0 {
		size := last
		if size == 0 {
			size = len(left)
		}
		take(title, func(n int, _ *DeclaredHost) bool { return n < size })
	}
	return waves
}
