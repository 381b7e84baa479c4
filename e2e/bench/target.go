package main

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"

	"github.com/tagwarden/tagwarden/e2e/rig"
)

// The targets, as they are called in tables. Direct is none: its clients ask the origin.
const (
	tagwarden      = "tagwarden"
	nginx          = "nginx"
	dockerRegistry = "docker-registry"
	direct         = "direct"
)

// A target is a program that is put in front of the origin.
type target struct {
	name, program string
	// configure writes what the program reads into the site's folder, and returns its arguments.
	configure func(s site) ([]string, error)
}

// A site is where one instance of a target works.
type site struct {
	dir, addr, admin   string
	origin, notary     string // addresses
	rootKey            string // id of the key of all trust data
	certificate, keyed string // files in PEM; "" for plain HTTP
}

// An instance is a target that runs.
type instance struct {
	name, addr, dir string
	process         *rig.Process // nil for direct
	secure          *tls.Config
}

// findTargets returns tagwarden and bare, then the targets that are installed here, and a line about each that is not.
func findTargets(tagwardenBinary string) (all []target, missing []string, err error) {
	self, err := os.Executable()
	if err != nil {
		return nil, nil, err
	}
	ours, err := filepath.Abs(tagwardenBinary)
	if err != nil {
		return nil, nil, err
	}
	if _, err := os.Stat(ours); err != nil {
		return nil, nil, err
	}
	all = []target{{tagwarden, ours, configureTagwarden}, {bareName, self, configureBare}}
	for _, t := range []target{{nginx, nginx, configureNginx}, {dockerRegistry, dockerRegistry, configureRegistry}} {
		t.program, err = find(t.program)
		switch {
		case err == nil:
			all = append(all, t)
		case errors.Is(err, exec.ErrNotFound):
			missing = append(missing, t.name+" is not installed, its column is left out")
		default:
			return nil, nil, fmt.Errorf("%s: %w", t.name, err)
		}
	}
	return all, missing, nil
}

func configureTagwarden(s site) ([]string, error) {
	secure := ""
	if s.certificate != "" {
		secure = fmt.Sprintf("tls: {cert: %s, key: %s}", s.certificate, s.keyed)
	}
	file := filepath.Join(s.dir, "tagwarden.yaml")
	return []string{"serve", "--config", file}, os.WriteFile(file, fmt.Appendf(nil, `listen: %q
%s
admin: {listen: %q}
state: %[4]s/state
cache: {dir: %[4]s/cache, size: 8GiB}
audit: {file: %[4]s/audit.jsonl}
registries:
  %[5]s: {url: "http://%[6]s"}
default_registry: %[5]s
sources:
  bench:
    notary: http://%[7]s
    pins:
      %[5]s/**: {keys: [%[8]s]}
rules:
  - {match: %[5]s/**, name: bench, source: bench}
`, s.addr, secure, s.admin, s.dir, registryName, s.origin, s.notary, s.rootKey), 0o600)
}

func configureBare(s site) ([]string, error) {
	blobs := filepath.Join(s.dir, "blobs")
	return []string{bareName, "-listen", s.addr, "-origin", "http://" + s.origin, "-dir", blobs, "-cert", s.certificate, "-key", s.keyed}, os.Mkdir(blobs, 0o700)
}

func configureRegistry(s site) ([]string, error) {
	file := filepath.Join(s.dir, "registry.yml")
	return []string{"serve", file}, os.WriteFile(file, fmt.Appendf(nil, `version: 0.1
log: {level: error, accesslog: {disabled: true}}
storage: {filesystem: {rootdirectory: %s/registry}}
http: {addr: %q, secret: unused}
proxy: {remoteurl: "http://%s"}
`, s.dir, s.addr, s.origin), 0o600)
}

// configureNginx caches whole answers under their path: one request to the origin, others wait for it.
func configureNginx(s site) ([]string, error) {
	file := filepath.Join(s.dir, "nginx.conf")
	user := ""
	if os.Geteuid() == 0 {
		user = "user root;" // the folder belongs to whoever runs this
	}
	return []string{"-p", s.dir, "-c", file, "-e", filepath.Join(s.dir, "error.log")}, os.WriteFile(file, fmt.Appendf(nil, `daemon off; worker_processes 2; pid %[2]s/nginx.pid; %[1]s
events { worker_connections 1024; }
http {
  access_log off; sendfile on; tcp_nopush on; keepalive_requests 100000000; default_type application/octet-stream;
  open_file_cache max=1000 inactive=10m; open_file_cache_valid 10m;
  client_body_temp_path %[2]s/body; proxy_temp_path %[2]s/temp; fastcgi_temp_path %[2]s/f; uwsgi_temp_path %[2]s/u; scgi_temp_path %[2]s/s;
  proxy_cache_path %[2]s/cache levels=1:2 keys_zone=bench:10m max_size=8g inactive=1h use_temp_path=off;
  upstream origin { server %[4]s; keepalive 64; }
  server {
    listen %[3]s backlog=1024;
    location / {
      proxy_pass http://origin; proxy_http_version 1.1; proxy_set_header Connection "";
      proxy_cache bench; proxy_cache_key $uri; proxy_cache_valid 200 10m;
      proxy_cache_lock on; proxy_cache_lock_age 10m; proxy_cache_lock_timeout 10m; proxy_read_timeout 10m;
    }
  }
}
`, user, s.dir, s.addr, s.origin), 0o600)
}

// launch starts an instance in a folder of its own and waits until it answers.
func (t target) launch(ctx context.Context, s site, secure *tls.Config) (*instance, error) {
	var err error
	if err := os.MkdirAll(s.dir, 0o700); err != nil {
		return nil, err
	}
	if s.addr, err = freePort(); err != nil {
		return nil, err
	}
	if s.admin, err = freePort(); err != nil {
		return nil, err
	}
	args, err := t.configure(s)
	if err != nil {
		return nil, err
	}
	cmd := exec.Command(t.program, args...)
	cmd.Dir = s.dir
	i := &instance{name: t.name, addr: s.addr, dir: s.dir, secure: secure}
	if i.process, err = rig.Start(cmd, "log"); err != nil {
		return nil, err
	}
	if err := i.process.Ready(ctx, func(ctx context.Context) error { return once(ctx, i, request{path: "/v2/", status: 200, length: -1}) }); err != nil {
		i.stop()
		return nil, fmt.Errorf("%s: %w", t.name, err)
	}
	return i, nil
}

// stop ends the instance and removes what it wrote.
func (i *instance) stop() error {
	if i.process == nil {
		return nil
	}
	_ = i.process.Stop(stopLimit) // others have other statuses, and what did not end was killed
	return os.RemoveAll(i.dir)
}
