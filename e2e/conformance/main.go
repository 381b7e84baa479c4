// Command conformance lets the public TUF client conformance suite test what a gateway verifies TUF metadata with.
//
// The suite (github.com/theupdateframework/tuf-conformance) runs a client as its CLIENT-CLI.md says, against repositories
// that it signs and attacks, and looks at the client's exit code, at its requests and at its files. This is that client: a
// thin one around trust/tuf as it is, its durable state included. It is no part of the product. To run the suite, with
// python3, its dependencies and faketime at hand:
//
//	go build -o bin/conformance ./e2e/conformance
//	cd SUITE && pytest tuf_conformance --entrypoint "$OLDPWD/bin/conformance"
//
// Every test is expected to pass. What is done here, because the suite asks for what a gateway never does:
//
//   - Roles are fetched in the order of the search. A gateway fetches all of them beforehand; see onDemand.
//   - What is trusted is put into plain files; see folder. The state stays beside them.
//   - Targets are downloaded; see artifact. A gateway compares manifests with digests, and refuses an entry without sha256;
//     the suite also signs one by sha512 alone, which is taken here.
//   - The time is asked of date, because faketime, by which the suite sets clocks, cannot set that of a Go program.
//
// The tests of this package mirror the suite, so that whoever has only Go finds out what it would:
//
//	test_basic                      TestBasic, TestSameTimestamp, TestFirstRoot, TestSearch, TestDownload
//	test_expiration                 TestExpiration
//	test_file_download              TestDownload, TestSubstitution, TestHashes, TestInconsistent
//	test_keys                       TestKeys, TestKeyTypes
//	test_quoting_issues             TestQuoting
//	test_rollback                   TestRollback
//	test_static_repositories        trust/tuf: TestLibrary, over a repository that the library writes
//	test_updater_delegation_graphs  TestSearch, TestPaths, TestDiamond, TestNotInSnapshot
//	test_updater_key_rotations      TestRootRotation, TestRotation
//
// What the suite leaves out, trust/tuf tests:
//
//	endless data                    TestVerifier ("without end"), TestSizes
//	slow retrieval                  TestVerifier ("never sent")
//	a corrupt cache                 TestState, TestSeenDamaged; trust/state: TestDamage
//	a root hidden after a restart   TestVerifier ("a newer root is hidden"), TestRevokedKeyStaysRevoked, TestOlderPin
//	null entries                    TestTraps, TestUnsignedFiles
//	expiry while running            TestVerifier ("frozen"), TestKeptRoleExpires, TestExpiry
//	concurrency                     TestConcurrent
//	limits of delegation            TestClaims, TestTooWide, TestThousandRoles, TestTooManyPatterns, TestHostilePatterns
//	path_hash_prefixes              TestTraps
//	succinct_roles                  TestBins, TestTraps
//	what verified in a failed update TestSeen, TestSeenFloors, TestSeenUnderAnotherPin
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"time"
)

// options are what the command line says.
type options struct {
	dir       string   // for the metadata
	base      *url.URL // of the metadata
	targets   *url.URL // of what is downloaded
	targetDir string   // for what is downloaded
	names     []string // to download
	command   string
	root      string // the file to trust
}

func main() {
	now, err := date()
	if err == nil {
		err = run(context.Background(), os.Args[1:], now, os.Stderr)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "conformance:", err)
		os.Exit(1)
	}
}

// run is the whole command. What happens on the way goes to log.
func run(ctx context.Context, args []string, now time.Time, log io.Writer) (err error) {
	o, err := parse(args)
	if err != nil {
		return err
	}
	if o.command == "init" {
		return begin(o.dir, o.root)
	}
	c, err := open(ctx, o, &http.Client{Timeout: 30 * time.Second}, now, log)
	if err != nil {
		return err
	}
	// What verified before something failed is trusted all the same.
	defer func() { err = errors.Join(err, c.close()) }()
	if err := c.refresh(ctx); err != nil {
		return err
	}
	for _, name := range o.names {
		if err := c.download(ctx, name); err != nil {
			return err
		}
	}
	return nil
}

// parse reads the command line.
func parse(args []string) (options, error) {
	var o options
	f := flag.NewFlagSet("conformance", flag.ContinueOnError)
	address := func(to **url.URL) func(string) error {
		return func(s string) (err error) {
			*to, err = url.Parse(s)
			return err
		}
	}
	f.StringVar(&o.dir, "metadata-dir", "", "the folder of the trusted metadata")
	f.Func("metadata-url", "where the repository's metadata is", address(&o.base))
	f.Func("target-base-url", "where the repository's targets are", address(&o.targets))
	f.StringVar(&o.targetDir, "target-dir", "", "the folder of the downloaded targets")
	f.Func("target-name", "a target to download; may be repeated", func(s string) error {
		o.names = append(o.names, s)
		return nil
	})
	if err := f.Parse(args); err != nil {
		return o, err
	}
	o.command, o.root = f.Arg(0), f.Arg(1)
	missing := o.dir == ""
	switch o.command {
	case "init":
		missing = missing || o.root == ""
	case "refresh":
		missing, o.names = missing || o.base == nil, nil
	case "download":
		missing = missing || o.base == nil || o.targets == nil || o.targetDir == "" || len(o.names) == 0
	default:
		return o, fmt.Errorf("command %q: is not init, refresh or download", o.command)
	}
	if missing {
		return o, fmt.Errorf("command %s: an option is missing", o.command)
	}
	return o, nil
}

// date returns the time that the date command tells.
func date() (time.Time, error) {
	out, err := exec.Command("date", "+%s").Output()
	if err != nil {
		return time.Time{}, fmt.Errorf("date: %w", err)
	}
	seconds, err := strconv.ParseInt(strings.TrimSpace(string(out)), 10, 64)
	return time.Unix(seconds, 0), err
}
