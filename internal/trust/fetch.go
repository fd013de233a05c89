package trust

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"strings"
	"time"

	"github.com/openesu/openesu/problem"
)

// Fetch opens one served file by its name below /tuf/: "timestamp.json",
// "3.root.json", "targets/trust/<sha256>.keys.json". When it is not there, the
// error is fs.ErrNotExist; a *problem.Problem goes through to the person as it is.
// What it opens ends with ctx. The client bounds what it reads, and closes it.
type Fetch func(ctx context.Context, name string) (io.ReadCloser, error)

// HTTP fetches from a server; base is the address of its /tuf/.
func HTTP(client *http.Client, base string) Fetch {
	base = strings.TrimSuffix(base, "/") + "/"
	return func(ctx context.Context, name string) (io.ReadCloser, error) {
		request, err := http.NewRequestWithContext(ctx, http.MethodGet, base+name, nil)
		if err != nil {
			return nil, err
		}
		response, err := client.Do(request)
		if err != nil {
			return nil, err
		}
		if response.StatusCode == http.StatusOK {
			return response.Body, nil
		}
		err = response.Body.Close()
		if response.StatusCode == http.StatusNotFound {
			return nil, fs.ErrNotExist
		}
		return nil, errors.Join(fmt.Errorf("status %s", response.Status), err)
	}
}

// Folder fetches from a folder that holds the same names, as an offline bundle
// does.
func Folder(fsys fs.FS) Fetch {
	return func(_ context.Context, name string) (io.ReadCloser, error) { return fsys.Open(name) }
}

// bounded makes a source of fetch that reads each file within patience.
func bounded(ctx context.Context, fetch Fetch, patience time.Duration) source {
	return func(name string, limit int64) ([]byte, error) {
		ctx, cancel := context.WithTimeout(ctx, patience)
		defer cancel()
		data, err := readOne(ctx, fetch, name, limit)
		_, named := problem.As(err)
		switch {
		case err == nil, named, errors.Is(err, fs.ErrNotExist), errors.Is(err, errTooLong), errors.Is(err, context.Canceled):
			return data, err
		case ctx.Err() != nil:
			return nil, problem.New(problem.Unavailable, TooSlow, "name", name).Because(err)
		}
		return nil, problem.New(problem.Unavailable, Unreachable, "name", name).Because(err)
	}
}

func readOne(ctx context.Context, fetch Fetch, name string, limit int64) ([]byte, error) {
	body, err := fetch(ctx, name)
	if err != nil {
		return nil, err
	}
	defer body.Close()
	data, err := io.ReadAll(io.LimitReader(body, limit+1))
	if err != nil {
		return nil, err
	}
	if int64(len(data)) > limit {
		return nil, errTooLong
	}
	return data, nil
}
