package run

import (
	"context"
	"slices"
	"time"

	"github.com/mirrorform/mirrorform/engine"
	"github.com/mirrorform/mirrorform/engine/wire"
	"github.com/mirrorform/mirrorform/internal/doctor"
	"github.com/mirrorform/mirrorform/internal/lang"
	"github.com/mirrorform/mirrorform/internal/mirror"
	"github.com/mirrorform/mirrorform/resources"
)

// Diagnosis is what doctor found on a host.
type Diagnosis struct {
	Host, Address string
	Reached       bool
	Findings      []doctor.Finding
}

// Diagnose looks at hosts at once, from here and on them. It changes nothing.
func (r *Run) Diagnose(ctx context.Context, hosts []engine.Host) []Diagnosis {
	list := make([]Diagnosis, len(hosts))
	r.each(hosts, func(i int, h engine.Host, report engine.Report) (err error) {
		list[i], err = r.diagnose(ctx, h, report)
		return err
	})
	return list
}

// diagnose returns what is found on a host. The error is why it was not reached, which is a
// finding too.
func (r *Run) diagnose(ctx context.Context, h engine.Host, report engine.Report) (Diagnosis, error) {
	of := r.byName[h.Name]
	about := &doctor.Host{Name: h.Name, Address: r.directAddress(h), Become: of.Become, Place: lang.Place(of.Range)}
	for _, p := range r.Config.MirrorsOn(h.Name) {
		if spec, ok := p.Spec.(*mirror.Spec); ok {
			about.Mirrors = append(about.Mirrors, spec)
		}
	}
	out := make(chan *doctor.Outside, 1)
	go func() { out <- about.Look(ctx) }()
	d := Diagnosis{Host: h.Name, Address: of.Address}
	seen, err := r.ask(ctx, h.Name, about, report)
	if err != nil {
		d.Findings = []doctor.Finding{doctor.Unreached(err)}
		return d, err
	}
	d.Reached, d.Findings = true, about.Judge(seen, <-out)
	return d, nil
}

// directAddress returns the address at which a host is reached from here, with HostName of
// ssh_config, or "" for one behind a jump host or a program.
func (r *Run) directAddress(h engine.Host) string {
	if h.Here {
		return ""
	}
	t, err := r.connector.target(h.Name)
	if err != nil || t.Jump != nil || t.ProxyCommand != "" {
		return ""
	}
	return t.Address
}

// ask asks a host the doctor's questions, those about its storages too.
func (r *Run) ask(ctx context.Context, host string, about *doctor.Host, report engine.Report) (*doctor.Seen, error) {
	report(engine.Progress{Host: host, Stage: engine.Connecting})
	begin := time.Now()
	session, err := r.Connect(ctx, host)
	if err != nil {
		return nil, err
	}
	defer func() { _ = session.Close() }() // no answer is outstanding
	seen := &doctor.Seen{Hello: session.Hello, Login: time.Since(begin)}
	report(engine.Progress{Host: host, Stage: engine.Observing})
	wanted, _ := r.Config.Resources(host, map[string]*wire.Facts{host: session.Hello.Facts}) // validate reports its errors
	for _, res := range wanted {
		if s, ok := res.State.(*resources.Storage); ok {
			about.Storages = append(about.Storages, s)
		}
	}
	seen.Asked = time.Now()
	seen.Answers, err = session.Ask(ctx, slices.Clone(about.Questions()))
	seen.Answered = time.Now()
	return seen, err
}
