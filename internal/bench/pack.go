//go:build unix

package main

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/ray-iac/terraform-provider-ray/internal/ray/workdir"
)

const (
	packFiles = 2000
	packBytes = 50 << 20

	hashLimit   = 0.33 // of Ray's packaging.py
	zipLimit    = 0.25 // of the same, hash and zip
	uploadLimit = 1.15 // of a PUT of bytes that are there
)

// pack measures the way of a directory to the cluster.
func (b *bench) pack(ctx context.Context) (t table, err error) {
	if err := b.startHead(ctx); err != nil {
		return table{}, err
	}
	p := &packer{bench: b, dir: filepath.Join(b.dir, "tree"), zip: filepath.Join(b.dir, "tree.zip")}
	if err := makeTree(p.dir, packFiles, packBytes); err != nil {
		return table{}, err
	}
	// <venv>/bin/ray
	if p.py, err = startPython(ctx, filepath.Dir(filepath.Dir(b.head.RayBin)), b.root); err != nil {
		return table{}, err
	}
	defer func() { err = errors.Join(err, p.py.close()) }()
	local, err := p.againstPython(ctx)
	if err != nil {
		return table{}, err
	}
	upload, err := p.againstPUT(ctx)
	if err != nil {
		return table{}, err
	}
	return table{
		title:    fmt.Sprintf("package: %d files, %d MiB; every name is the one that Ray gives", packFiles, packBytes>>20),
		series:   append(local.series, upload.series...),
		findings: append(local.findings, upload.findings...),
	}, nil
}

type packer struct {
	*bench
	dir, zip string
	py       *python
}

// againstPython compares with Ray's own code on the same files. Ray's client
// writes the zip to a file and reads that again for the upload, which the script
// counts; ours never leaves the process. A third side writes ours to a file too.
func (p *packer) againstPython(ctx context.Context) (table, error) {
	var rays time.Duration // the hash of this round
	var uri string
	ask := func(q question) (took time.Duration, err error) {
		q.Dir = p.dir
		var name string
		if name, took, err = p.py.ask(q); name != "" {
			uri = name
		}
		return took, err
	}
	rayHash := side{&series{name: "Ray's hash", unit: seconds}, func(int) (took time.Duration, err error) {
		rays, err = ask(question{Op: "hash"})
		return rays, err
	}}
	// Hash and zip are two calls in Ray's client; the first has just been timed.
	rayZip := side{&series{name: "Ray's hash + zip", unit: seconds}, func(int) (time.Duration, error) {
		hash, err := ask(question{Op: "hash"})
		if err != nil {
			return 0, err
		}
		zip, err := ask(question{Op: "zip", Out: p.zip + ".ray"})
		return hash + zip, err
	}}
	our := func(w func() (io.WriteCloser, error)) func(int) (time.Duration, error) {
		return func(int) (time.Duration, error) {
			var hash workdir.Hash
			took, err := timed(func() (err error) { hash, err = p.hashAndZip(ctx, w); return err })
			if err == nil && uri != "" && hash.URI != uri {
				err = fmt.Errorf("the package is %s for us and %s for Ray", hash.URI, uri)
			}
			return took, err
		}
	}
	hash := side{&series{name: "our hash", unit: seconds}, our(nil)}
	zip := side{&series{name: "our hash + zip", unit: seconds}, our(func() (io.WriteCloser, error) { return nopCloser{io.Discard}, nil })}
	file := side{&series{name: "our hash + zip to a file", unit: seconds}, our(func() (io.WriteCloser, error) { return os.Create(p.zip) })}
	if err := turns(p.rounds, rayHash, hash, rayZip, zip, file); err != nil {
		return table{}, err
	}
	return table{
		series: []*series{hash.series, rayHash.series, zip.series, file.series, rayZip.series},
		findings: []finding{
			{"hash, of Ray's", ratio, versus(hash.series, rayHash.series), hashLimit},
			{"hash + zip, of Ray's", ratio, versus(zip.series, rayZip.series), zipLimit},
			{"hash + zip to a file, of Ray's", ratio, versus(file.series, rayZip.series), 0},
		},
	}, nil
}

type nopCloser struct{ io.Writer }

func (nopCloser) Close() error { return nil }

// hashAndZip packages the tree into what open returns; without open it only
// hashes.
func (p *packer) hashAndZip(ctx context.Context, open func() (io.WriteCloser, error)) (workdir.Hash, error) {
	tree, hash, err := p.hash(ctx)
	if err != nil || open == nil {
		return hash, err
	}
	w, err := open()
	if err != nil {
		return hash, err
	}
	return hash, errors.Join(tree.WriteZip(ctx, w), w.Close())
}

func (p *packer) hash(ctx context.Context) (*workdir.Tree, workdir.Hash, error) {
	tree, err := workdir.Scan(ctx, p.dir, workdir.Options{})
	if err != nil {
		return nil, workdir.Hash{}, err
	}
	hash, err := tree.Hash(ctx)
	return tree, hash, err
}

// againstPUT compares the whole way to the head with a PUT of the same bytes from
// memory. The content is another in each round, so that nothing is there already.
func (p *packer) againstPUT(ctx context.Context) (table, error) {
	var body bytes.Buffer // this round's zip
	prepare := func() error {
		body.Reset()
		if err := changeTree(p.dir); err != nil {
			return err
		}
		_, err := p.hashAndZip(ctx, func() (io.WriteCloser, error) { return nopCloser{&body}, nil })
		return err
	}
	prepared := -1
	each := func(run func() (uri string, err error)) func(int) (time.Duration, error) {
		return func(round int) (time.Duration, error) {
			if prepared != round {
				if err := prepare(); err != nil {
					return 0, err
				}
				prepared = round
			}
			var uri string
			took, err := timed(func() (err error) { uri, err = run(); return err })
			if err != nil {
				return 0, err
			}
			return took, p.drop(ctx, uri)
		}
	}
	ours := side{&series{name: "our hash + zip + upload", unit: seconds}, each(func() (string, error) { return p.upload(ctx) })}
	bare := side{&series{name: "PUT of the same bytes", unit: seconds}, each(func() (string, error) { return p.put(ctx, body.Bytes()) })}
	if err := turns(p.rounds, ours, bare); err != nil {
		return table{}, err
	}
	return table{
		series:   []*series{ours.series, bare.series},
		findings: []finding{{"hash + zip + upload, of a bare PUT", ratio, versus(ours.series, bare.series), uploadLimit}},
	}, nil
}

// upload does what the engine of ray_job does: hash, look, and stream the zip.
func (p *packer) upload(ctx context.Context) (uri string, err error) {
	tree, hash, err := p.hash(ctx)
	if err != nil {
		return "", err
	}
	there, err := p.api.HasPackage(ctx, hash.URI)
	if err != nil {
		return "", err
	}
	if there {
		return "", fmt.Errorf("%s is there already", hash.URI)
	}
	read, write := io.Pipe()
	done := make(chan error, 1)
	go func() {
		err := tree.WriteZip(ctx, write)
		write.CloseWithError(err)
		done <- err
	}()
	err = p.api.PutPackage(ctx, hash.URI, tree.ZipSize(), read)
	read.CloseWithError(io.ErrClosedPipe)
	return hash.URI, errors.Join(err, <-done)
}

// put is the least that an upload can be: net/http and nothing of ours.
func (p *packer) put(ctx context.Context, body []byte) (uri string, err error) {
	uri = "gcs://_ray_pkg_" + strings.ToLower(rand.Text()[:16]) + ".zip"
	url := p.head.DashboardURL + "/api/packages/gcs/" + strings.TrimPrefix(uri, "gcs://")
	req, err := http.NewRequestWithContext(ctx, http.MethodPut, url, bytes.NewReader(body))
	if err != nil {
		return "", err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return "", err
	}
	text, err := io.ReadAll(resp.Body)
	if err := errors.Join(err, resp.Body.Close()); err != nil {
		return "", err
	}
	if resp.StatusCode != http.StatusOK {
		return "", fmt.Errorf("PUT %s: %s: %s", url, resp.Status, text)
	}
	return uri, nil
}

// drop writes one byte over a package: the head keeps packages in memory, and has
// no request that deletes one.
func (p *packer) drop(ctx context.Context, uri string) error {
	return p.api.PutPackage(ctx, uri, 1, strings.NewReader("x"))
}
