package agent

import "testing"

func TestFailedStarts(t *testing.T) {
	t.Parallel()
	output := "Setting up nginx (1.22.1-9) ...\n" +
		"Job for nginx.service failed because the control process exited with error code.\n" +
		"Job for nginx.service failed because the control process exited with error code.\n" +
		"Job for ../x.service failed\nJob for -x.service failed\nJob for x failed\nJob for a.service canceled.\n" +
		"Job for b@1.socket failed.\ninvoke-rc.d: initscript nginx, action \"start\" failed.\n"
	same(t, "units", failedStarts(output), []string{"nginx.service", "b@1.socket"})
	same(t, "none", failedStarts("E: Unable to locate package nginx\n"), []string(nil))
}
