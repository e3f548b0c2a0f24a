package labtest

import (
	"os"
	"testing"
)

// VMEnv is the environment variable that controls tests with virtual machines, whose image takes
// minutes to build. They run only if it is "require".
const VMEnv = "MIRRORFORM_LAB_VM"

// VMs reports whether tests with virtual machines run.
func VMs() bool { return os.Getenv(VMEnv) == "require" }

// RequireVM skips the test if tests with virtual machines do not run. It calls Require.
func RequireVM(t testing.TB) {
	t.Helper()
	Require(t)
	if !VMs() {
		t.Skipf("needs a virtual machine; %s=require runs it, as make test-matrix does", VMEnv)
	}
}
