package run

import (
	"slices"

	"github.com/mirrorform/mirrorform/engine"
	"github.com/mirrorform/mirrorform/engine/wire"
	"github.com/mirrorform/mirrorform/internal/syncs"
)

// Survey is a resource that is only read. Added to the resources of a host, it asks about the
// status of a sync job in the same message as the plan's questions.
type Survey struct {
	Job *syncs.Job

	State       *syncs.State // nil if there is an error
	Certificate *syncs.Certificate
	Err         error
}

type surveyType struct{}

func (surveyType) Keys(engine.Target, *Survey) (provides, needs []engine.Key) { return nil, nil }
func (surveyType) Validate(*Survey) []engine.Problem                          { return nil }
func (surveyType) Diff(engine.Target, *Survey, *Survey) []engine.Step         { return nil }

func (surveyType) Ask(_ engine.Target, want *Survey) []wire.Query {
	return append(want.Job.Questions(), want.Job.CertificateQuestions()...)
}

// Read stores an error for the table of status instead of returning it: it is not an error of the
// plan.
func (surveyType) Read(_ engine.Target, want *Survey, got engine.Answers) (*Survey, error) {
	state, err := want.Job.Read(got)
	return &Survey{want.Job, state, want.Job.ReadCertificate(got), err}, nil
}

var surveyKind = func() *engine.Kind {
	r := new(engine.Registry)
	engine.Register(r, "survey", surveyType{})
	return r.Kind("survey")
}()

// WithSurveys adds a survey of each sync job to the resources of a host.
func WithSurveys(list []*engine.Resource) []*engine.Resource {
	all := slices.Clone(list)
	for _, j := range syncs.Jobs(list) {
		all = append(all, &engine.Resource{Address: engine.Address{Host: j.Host, Type: "survey", Name: j.Mirror}, Kind: surveyKind, State: &Survey{Job: j}})
	}
	return all
}

// Surveyed removes the surveys from a plan, since they are not in the configuration.
func Surveyed(plan *engine.Plan) {
	for _, h := range plan.Hosts {
		all := len(h.Compared)
		h.Compared = slices.DeleteFunc(h.Compared, func(c engine.Compared) bool { return c.Resource.Kind == surveyKind })
		h.Unchanged -= all - len(h.Compared)
	}
}
