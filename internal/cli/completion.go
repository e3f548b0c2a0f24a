package cli

import (
	"github.com/spf13/cobra"
)

// shellCompletion is the completion of one shell.
type shellCompletion struct {
	shell, long, example string
	generate             func(root *cobra.Command, g *global, descriptions bool) error
}

// shellCompletions are the shells that Cobra writes completion scripts for. The texts are ours,
// since Cobra's are wider than a terminal.
var shellCompletions = []shellCompletion{
	{
		"bash",
		"Print a script that completes commands, flags, hosts and addresses in bash.",
		`# For this shell
source <(mirrorform completion bash)

# For every new shell, as root
mirrorform completion bash >/etc/bash_completion.d/mirrorform`,
		func(_ *cobra.Command, g *global, descriptions bool) error {
			how := "plain"
			if descriptions {
				how = "described"
			}
			g.print(bashScript, how)
			return nil
		},
	},
	{
		"zsh",
		`Print a script that completes commands, flags, hosts and addresses in zsh.
Completion has to be enabled there: "autoload -U compinit; compinit" in
~/.zshrc.`,
		`# For this shell
source <(mirrorform completion zsh)

# For every new shell
mirrorform completion zsh >"${fpath[1]}/_mirrorform"`,
		func(root *cobra.Command, g *global, descriptions bool) error {
			if !descriptions {
				return root.GenZshCompletionNoDesc(g.out)
			}
			return root.GenZshCompletion(g.out)
		},
	},
	{
		"fish",
		"Print a script that completes commands, flags, hosts and addresses in fish.",
		`# For this shell
mirrorform completion fish | source

# For every new shell
mirrorform completion fish >~/.config/fish/completions/mirrorform.fish`,
		func(root *cobra.Command, g *global, descriptions bool) error {
			return root.GenFishCompletion(g.out, descriptions)
		},
	},
	{
		"powershell",
		`Print a script that completes commands, flags, hosts and addresses in
PowerShell. To have it in every new shell, add it to your profile.`,
		`# For this shell
mirrorform completion powershell | Out-String | Invoke-Expression`,
		func(root *cobra.Command, g *global, descriptions bool) error {
			if !descriptions {
				return root.GenPowerShellCompletion(g.out)
			}
			return root.GenPowerShellCompletionWithDesc(g.out)
		},
	},
}

func newCompletionCommand(g *global) *cobra.Command {
	cmd := commandWithCommands(&cobra.Command{
		Use:   "completion COMMAND",
		Short: "Print a completion script for your shell",
		Long: `Print a script that makes a shell complete commands, flags, hosts and addresses
of resources. The help of each command below says how to load it.`,
		Example: "source <(mirrorform completion bash)",
	})
	for _, c := range shellCompletions {
		var plain bool
		sub := &cobra.Command{
			Use:               c.shell,
			Short:             "Print a completion script for " + c.shell,
			Long:              c.long,
			Example:           c.example,
			Args:              noArguments,
			ValidArgsFunction: cobra.NoFileCompletions,
			RunE:              func(cmd *cobra.Command, _ []string) error { return c.generate(cmd.Root(), g, !plain) },
		}
		sub.Flags().BoolVar(&plain, "no-descriptions", false, "complete names without descriptions")
		cmd.AddCommand(sub)
	}
	return cmd
}
