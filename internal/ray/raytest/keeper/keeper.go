//go:build unix

// Package keeper ends what a test started, however the test ends.
//
// A keeper is a shell that waits for its input to end, which happens when it is
// closed or when the process that started it dies, even by kill -9. It then kills
// every process of the cluster that it keeps and removes the cluster's directory:
//
//	mark := "RAYTEST_CLUSTER=" + dir + ";"
//	k, err := keeper.Start(mark, dir)
//	cmd.Env = append(os.Environ(), mark)
//	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
//	... // start cmd
//	err = k.Add(cmd.Process.Pid)
//	defer k.Close()
//
// It knows nothing of what it ends.
package keeper

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"os/exec"
	"strings"
	"syscall"
)

// script ends a cluster and everything that it started. It reads the mark of
// the whole cluster and its directory, then commands: "ADD SESSION" names a
// session as the cluster's; "SIGNAL SESSION MARK" ends the processes of a session
// or with a mark and is answered by a line once none is left. When its input
// ends, because close was called or because the process that held the pipe died,
// even by kill -9, it kills the whole cluster and removes the directory.
//
// It takes both to find all processes. Ray's job supervisor starts every driver
// in a session of its own (start_new_session=True in job_supervisor.py): those
// have inherited the mark, a variable of their environment. Agents and workers
// write their title over their environment (setproctitle): those have stayed in
// the session. A session is forgotten once it is empty, as its number may be
// given to a stranger.
const script = `
read -r cluster; read -r dir; sessions=
members() {
	if [ -d /proc/self ]; then
		grep -lsF "$1" /proc/[0-9]*/environ | cut -d/ -f3
		cat /proc/[0-9]*/stat 2>/dev/null | awk -v sessions=" $2 " '{
			pid = $1; sub(/^.*\) /, ""); split($0, f, " ")
			if (f[1] != "Z" && index(sessions, " " f[4] " ")) print pid
		}'
	else
		ps -AEww -o pid= -o command= | grep -F "$1" | awk '{ print $1 }'
		for session in $2; do pgrep -g "$session"; done
	fi
}
finish() {
	tries=0
	while pids=$(members "$2" "$3"); [ -n "$pids" ]; do
		if [ "$1" = KILL ] || [ $tries -ge 100 ]; then kill -KILL $pids 2>/dev/null
		elif [ $tries = 0 ]; then kill -TERM $pids 2>/dev/null; fi
		tries=$((tries + 1))
		sleep 0.1
	done
}
trap '' HUP INT TERM
while read -r signal session mark; do
	case $signal in
	ADD) sessions="$sessions $session" ;;
	*)
		finish "$signal" "$mark" "$session"
		rest=
		for s in $sessions; do [ "$s" = "$session" ] || rest="$rest $s"; done
		sessions=$rest
		echo done
		;;
	esac
done
finish KILL "$cluster" "$sessions"
rm -rf "$dir"
`

// Keeper is the running script.
type Keeper struct {
	cmd *exec.Cmd
	in  io.WriteCloser
	out *bufio.Reader
}

// Start starts the keeper of the cluster with this mark and directory. It
// has a session of its own, so that a Ctrl-C that ends the tests does not end it
// before its work is done, and shares no output with them, because go test waits
// for whoever holds its output.
func Start(mark, dir string) (*Keeper, error) {
	cmd := exec.Command("/bin/sh", "-c", script)
	cmd.Env = []string{"PATH=/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin"}
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	in, err := cmd.StdinPipe()
	if err != nil {
		return nil, err
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("start the keeper of a test cluster: %w", err)
	}
	k := &Keeper{cmd: cmd, in: in, out: bufio.NewReader(out)}
	if _, err := fmt.Fprintf(in, "%s\n%s\n", mark, dir); err != nil {
		return nil, err
	}
	return k, nil
}

// Add tells the keeper of a session that belongs to the cluster.
func (k *Keeper) Add(session int) error {
	_, err := fmt.Fprintf(k.in, "ADD %d\n", session)
	return err
}

// End signals all processes of the session or with the mark, TERM (then KILL
// after 10 s) or KILL, and returns when none is left.
func (k *Keeper) End(ctx context.Context, signal string, session int, mark string) error {
	done := make(chan error, 1)
	go func() {
		if _, err := fmt.Fprintf(k.in, "%s %d %s\n", signal, session, mark); err != nil {
			done <- err
			return
		}
		line, err := k.out.ReadString('\n')
		if err == nil && strings.TrimSpace(line) != "done" {
			err = fmt.Errorf("unexpected answer %q", line)
		}
		done <- err
	}()
	select {
	case err := <-done:
		if err != nil {
			return fmt.Errorf("%s processes of %s: %w", signal, mark, err)
		}
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// Close ends the cluster, removes its directory and waits for both.
func (k *Keeper) Close() error {
	if err := k.in.Close(); err != nil {
		return err
	}
	return k.cmd.Wait()
}
