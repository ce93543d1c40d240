package main

import (
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/urfave/cli/v2"
)

func manCommand() *cli.Command {
	return &cli.Command{
		Name:  "man",
		Usage: "print the manual page",
		Description: "Prints what --help says of all commands as a page for man, in section 1.\n\n" +
			"   vqaudio man | man -l -                                   read it\n" +
			"   vqaudio man > /usr/local/share/man/man1/vqaudio.1        install it",
		Action: runMan,
	}
}

func runMan(c *cli.Context) error {
	if c.Args().Present() {
		return &usageError{fmt.Errorf("unexpected %q", c.Args().First()), "vqaudio man | man -l -"}
	}
	app := newApp(io.Discard, io.Discard)
	app.Description = markdown(app.Description)
	describeForMan(app.Commands, app.Name)
	page, err := app.ToManWithSection(1)
	if err != nil {
		return err
	}
	_, err = io.WriteString(c.App.Writer, page)
	return err
}

// describeForMan puts the arguments and the description of commands, which the library leaves out of a manual page, behind their usage.
func describeForMan(commands []*cli.Command, path string) {
	for _, c := range commands {
		name := path + " " + c.Name
		c.Usage += ".\n\n    " + strings.Join(strings.Fields(name+" [OPTIONS] "+c.ArgsUsage), " ") + "\n\n" + markdown(c.Description)
		describeForMan(c.Subcommands, name)
	}
}

// markdown returns a description as Markdown: indented lines as code, all others as text.
func markdown(description string) string {
	var s strings.Builder
	code := false
	escape := strings.NewReplacer(`*`, `\*`, `_`, `\_`, `<`, `\<`, "`", "\\`", `[`, `\[`, `]`, `\]`)
	for line := range strings.Lines(description) {
		indented := strings.HasPrefix(line, "   ")
		if line != "\n" && indented != code {
			s.WriteByte('\n')
			code = indented
		}
		if indented {
			s.WriteString(" " + line)
		} else {
			s.WriteString(escape.Replace(line))
		}
	}
	return s.String()
}

func completionCommand() *cli.Command {
	return &cli.Command{
		Name:      "completion",
		Usage:     "print a script that lets a shell complete commands and flags",
		ArgsUsage: "bash|zsh|fish|powershell",
		Description: "   source <(vqaudio completion bash)                                        in ~/.bashrc\n" +
			"   source <(vqaudio completion zsh)                                         in ~/.zshrc, behind compinit\n" +
			"   vqaudio completion fish > ~/.config/fish/completions/vqaudio.fish\n" +
			"   vqaudio completion powershell | Out-String | Invoke-Expression           in $PROFILE",
		Action: runCompletion,
	}
}

// completions are the scripts that ask the program itself what may follow.
var completions = map[string]string{
	"bash": `_vqaudio() {
	local words=("${COMP_WORDS[@]:0:$COMP_CWORD}") current="${COMP_WORDS[$COMP_CWORD]}"
	[[ "$current" == -* ]] && words+=("$current")
	local IFS=$'\n'
	COMPREPLY=($(compgen -W "$("${words[@]}" --generate-bash-completion 2>/dev/null)" -- "$current"))
}
complete -o bashdefault -o default -F _vqaudio vqaudio
`,
	"zsh": `#compdef vqaudio
_vqaudio() {
	local -a replies asked
	asked=("${words[@]:0:$((CURRENT - 1))}")
	[[ "${words[CURRENT]}" == -* ]] && asked+=("${words[CURRENT]}")
	replies=("${(@f)$("${asked[@]}" --generate-bash-completion 2>/dev/null)}")
	if [[ -n "${replies[1]}" ]]; then
		compadd -a replies
	fi
	_files
}
compdef _vqaudio vqaudio
`,
	"powershell": `Register-ArgumentCompleter -Native -CommandName vqaudio -ScriptBlock {
	param($word, $line, $position)
	$asked = @($line.CommandElements | ForEach-Object { $_.ToString() })
	if ($word -and -not $word.StartsWith('-')) { $asked = @($asked | Select-Object -SkipLast 1) }
	$rest = @($asked | Select-Object -Skip 1) + '--generate-bash-completion'
	& $asked[0] @rest 2>$null | Where-Object { $_ -like "$word*" } | ForEach-Object {
		[System.Management.Automation.CompletionResult]::new($_, $_, 'ParameterValue', $_)
	}
}
`,
}

func runCompletion(c *cli.Context) error {
	shell := c.Args().First()
	script, ok := completions[shell]
	switch {
	case c.NArg() != 1:
		return &usageError{errors.New("want one shell"), "vqaudio completion bash"}
	case shell == "fish":
		var err error
		if script, err = newApp(io.Discard, io.Discard).ToFishCompletion(); err != nil {
			return err
		}
	case !ok:
		return &usageError{fmt.Errorf("%q: want bash, zsh, fish or powershell", shell), "vqaudio completion bash"}
	}
	_, err := io.WriteString(c.App.Writer, script)
	return err
}

// completing reports whether a shell asks what may follow: then arguments have to stay in their order.
func completing(args []string) bool {
	return slices.Contains(args[max(0, len(args)-1):], "--generate-bash-completion")
}
