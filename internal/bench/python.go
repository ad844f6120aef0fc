//go:build unix

package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"time"
)

// packagingScript asks Ray's packaging.py and times it inside Python; it is the
// one by which workdir's own tests compare names and zips with Ray's.
const packagingScript = "internal/ray/workdir/testdata/ray_packaging.py"

// python is that script, running.
type python struct {
	cmd *exec.Cmd
	in  io.WriteCloser
	out *bufio.Reader
}

// question asks for the name of a directory ("hash") or its zip in Out ("zip").
type question struct {
	Op        string   `json:"op"`
	Dir       string   `json:"dir"`
	Excludes  []string `json:"excludes"`
	Gitignore bool     `json:"gitignore"`
	Out       string   `json:"out,omitempty"`
}

type answer struct {
	URI     string  `json:"uri"`
	Seconds float64 `json:"seconds"`
	Error   string  `json:"error"`
}

func startPython(ctx context.Context, venv, root string) (*python, error) {
	cmd := exec.CommandContext(ctx, filepath.Join(venv, "bin", "python"), filepath.Join(root, packagingScript))
	cmd.Env = environ(os.Environ(), "PYTHONUTF8=1")
	cmd.Stderr = os.Stderr
	in, err := cmd.StdinPipe()
	if err != nil {
		return nil, err
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	return &python{cmd, in, bufio.NewReader(out)}, cmd.Start()
}

func (p *python) close() error { return errors.Join(p.in.Close(), p.cmd.Wait()) }

// ask returns the answer and how long Ray itself took for it.
func (p *python) ask(q question) (uri string, took time.Duration, err error) {
	q.Gitignore = true
	q.Excludes = []string{".git", ".venv", "venv", "__pycache__"} // Ray's defaults, as workdir's
	if err := json.NewEncoder(p.in).Encode(q); err != nil {
		return "", 0, err
	}
	line, err := p.out.ReadBytes('\n')
	if err != nil {
		return "", 0, fmt.Errorf("%s: %w", packagingScript, err)
	}
	var a answer
	if err := json.Unmarshal(line, &a); err != nil {
		return "", 0, fmt.Errorf("%s: %w: %s", packagingScript, err, line)
	}
	if a.Error != "" {
		return "", 0, fmt.Errorf("packaging.py: %s", a.Error)
	}
	return a.URI, time.Duration(a.Seconds * float64(time.Second)), nil
}
