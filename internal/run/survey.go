package run

import (
	"slices"

	"github.com/mirrorform/mirrorform/engine"
	"github.com/mirrorform/mirrorform/engine/wire"
	"github.com/mirrorform/mirrorform/internal/syncs"
)

// Survey is a resource that only looks: among a host's resources it has what status asks of a job
// asked in the plan's message.
type Survey struct {
	Job *syncs.Job

	State *syncs.State // nil where there is an error
	Err   error
}

type surveyType struct{}

func (surveyType) Keys(engine.Target, *Survey) (provides, needs []engine.Key) { return nil, nil }
func (surveyType) Validate(*Survey) []engine.Problem                          { return nil }
func (surveyType) Ask(_ engine.Target, want *Survey) []wire.Query             { return want.Job.Questions() }
func (surveyType) Diff(engine.Target, *Survey, *Survey) []engine.Step         { return nil }

// Read keeps an error for the table, since it says nothing against the plan.
func (surveyType) Read(_ engine.Target, want *Survey, got engine.Answers) (*Survey, error) {
	state, err := want.Job.Read(got)
	return &Survey{want.Job, state, err}, nil
}

var surveyKind = func() *engine.Kind {
	r := new(engine.Registry)
	engine.Register(r, "survey", surveyType{})
	return r.Kind("survey")
}()

// WithSurveys adds a survey of each of a host's jobs to its resources.
func WithSurveys(list []*engine.Resource) []*engine.Resource {
	if len(list) == 0 {
		return list
	}
	host := engine.HostOf(list[0].Address)
	all := slices.Clone(list)
	for _, j := range syncs.Jobs(host, list) {
		all = append(all, &engine.Resource{Address: engine.Address{Host: host, Type: "survey", Name: j.Mirror}.String(), Kind: surveyKind, State: &Survey{Job: j}})
	}
	return all
}

// Surveyed takes the surveys out of what a plan compared: they are not of the configuration.
func Surveyed(plan *engine.Plan) {
	for _, h := range plan.Hosts {
		all := len(h.Compared)
		h.Compared = slices.DeleteFunc(h.Compared, func(c engine.Compared) bool { return c.Resource.Kind == surveyKind })
		h.Unchanged -= all - len(h.Compared)
	}
}
