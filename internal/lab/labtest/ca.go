package labtest

import (
	"context"
	"errors"
	"testing"

	"github.com/mirrorform/mirrorform/internal/lab"
)

// StartCA starts a certificate authority in the test's lab, which ends with the test. If the test
// fails, its log receives the CA's. Hosts of the test use it after Host.TrustCA and CA.AddHost.
func StartCA(t testing.TB, options ...lab.CAOptions) *lab.CA {
	t.Helper()
	var o lab.CAOptions
	if len(options) > 0 {
		o = options[0]
	}
	ca, err := Lab(t).StartCA(t.Context(), o)
	if errors.Is(err, lab.ErrUnavailable) {
		unavailable(t, err)
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if t.Failed() {
			t.Log(ca.Log())
		}
		if err := ca.Close(context.Background()); err != nil {
			t.Error(err)
		}
	})
	return ca
}
