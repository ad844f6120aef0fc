package raytest

import (
	"math"
	"os"
	"strconv"
	"strings"
	"time"
)

// step is one thing that an entrypoint does: wait, then write, then perhaps end.
type step struct {
	after  time.Duration // since the entrypoint began
	output string
}

// script is what an entrypoint will do, if nothing stops it.
type script struct {
	steps []step
	ends  time.Duration // since it began; forever if negative
	exit  int
}

// forever is a wait that no clock ends.
const forever = time.Duration(-1)

// run reads an entrypoint in the small part of a shell's language that tests
// need: commands joined by ";", "&&" and "||" out of true, false, exit N, sleep N,
// sleep infinity and echo, with $NAME from env_vars. Any other command is looked
// up in commands, and not found as a shell would say it (127).
func run(entrypoint string, env map[string]string, commands map[string]Command, driver Driver) script {
	s := script{}
	var now time.Duration
	status := 0
	for _, c := range splitCommands(entrypoint) {
		if c.op == "&&" && status != 0 || c.op == "||" && status == 0 {
			continue
		}
		words := words(c.text, env)
		if len(words) == 0 {
			continue
		}
		args := words[1:]
		status = 0
		switch words[0] {
		case "true", ":":
		case "false":
			status = 1
		case "exit":
			if len(args) > 0 {
				status, _ = strconv.Atoi(args[0])
			}
			s.ends, s.exit = now, status&0xff
			return s
		case "sleep":
			d, err := strconv.ParseFloat(strings.Join(args, ""), 64)
			if err != nil || math.IsInf(d, 0) {
				s.ends = forever
				return s
			}
			now += time.Duration(d * float64(time.Second))
		case "echo":
			s.steps = append(s.steps, step{now, strings.Join(args, " ") + "\n"})
		default:
			cmd, ok := commands[words[0]]
			if !ok {
				cmd = Command{Output: "/bin/sh: 1: " + words[0] + ": not found\n", ExitCode: 127}
			}
			if cmd.Do != nil {
				cmd.Output, cmd.ExitCode = cmd.Do(driver, args)
			}
			now += cmd.Takes
			if cmd.Output != "" {
				s.steps = append(s.steps, step{now, cmd.Output})
			}
			status = cmd.ExitCode
		}
	}
	s.ends, s.exit = now, status
	return s
}

// Command is what an entrypoint's command does that the fake does not know.
type Command struct {
	Output   string
	ExitCode int
	Takes    time.Duration
	// Do, if set, is called when the entrypoint begins, and gives Output and ExitCode.
	// It must not use the Fake but through the driver.
	Do func(driver Driver, args []string) (output string, exitCode int)
}

type shellCommand struct{ op, text string }

func splitCommands(s string) []shellCommand {
	var out []shellCommand
	op, start := ";", 0
	quote := byte(0)
	for i := 0; i < len(s); i++ {
		switch {
		case quote != 0:
			if s[i] == quote {
				quote = 0
			}
		case s[i] == '\'' || s[i] == '"':
			quote = s[i]
		case s[i] == ';' || s[i] == '\n':
			out = append(out, shellCommand{op, s[start:i]})
			op, start = ";", i+1
		case strings.HasPrefix(s[i:], "&&") || strings.HasPrefix(s[i:], "||"):
			out = append(out, shellCommand{op, s[start:i]})
			op, start = s[i:i+2], i+2
			i++
		}
	}
	return append(out, shellCommand{op, s[start:]})
}

// words splits a command at blanks outside quotes, and puts in the variables of
// words that are not in single quotes.
func words(s string, env map[string]string) []string {
	var out []string
	var word strings.Builder
	part, quote, in := 0, byte(0), false
	add := func(end int) {
		text := s[part:end]
		if quote != '\'' {
			text = os.Expand(text, func(name string) string { return env[name] })
		}
		word.WriteString(text)
		part = end + 1
	}
	for i := 0; i <= len(s); i++ {
		switch {
		case i == len(s) || (quote == 0 && strings.IndexByte(" \t", s[i]) >= 0):
			add(i)
			if in || word.Len() > 0 {
				out = append(out, word.String())
			}
			word.Reset()
			in = false
		case quote == 0 && (s[i] == '\'' || s[i] == '"'):
			add(i)
			quote, in = s[i], true
		case quote != 0 && s[i] == quote:
			add(i)
			quote = 0
		}
	}
	return out
}
