package cli

import "github.com/spf13/cobra"

func (c *cli) completionCmd() *cobra.Command {
	return &cobra.Command{
		Use:   "completion bash|zsh|fish",
		Short: "A script that lets the shell complete ironpost",
		Example: `  ironpost completion bash | sudo tee /etc/bash_completion.d/ironpost >/dev/null
  ironpost completion zsh > "${fpath[1]}/_ironpost"
  ironpost completion fish > ~/.config/fish/completions/ironpost.fish`,
		Args:      between(1, 1, "the name of the shell (bash, zsh or fish)"),
		ValidArgs: []string{"bash", "zsh", "fish"},
		RunE: func(cmd *cobra.Command, args []string) error {
			switch args[0] {
			case "bash":
				return cmd.Root().GenBashCompletionV2(c.stdout, true)
			case "zsh":
				return cmd.Root().GenZshCompletion(c.stdout)
			case "fish":
				return cmd.Root().GenFishCompletion(c.stdout, true)
			}
			return usage(cmd, "completion for %q does not exist; there is bash, zsh and fish", args[0])
		},
	}
}
