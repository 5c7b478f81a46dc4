// Calls containers/storage, the archiver of podman, in the same way as podman:
//
//	gostorage tar DIR none|zstd|gzip          a directory to standard output (a volume)
//	gostorage untar DIR                       the reverse, from standard input
//	gostorage changes NEW OLD                 a diff of two trees, as all drivers except native overlay create it
//	gostorage overlay MERGED UPPER LOWER      a diff of an overlay, from its upper directory
//	gostorage export DIR VOLUME none|zstd     a checkpoint: the volume to a file in DIR, then all of DIR (libpod, exportCheckpoint)
package main

import (
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"github.com/containers/storage/pkg/archive"
	"github.com/containers/storage/pkg/idtools"
	"github.com/containers/storage/pkg/reexec"
)

func die(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

var compressions = map[string]archive.Compression{
	"none": archive.Uncompressed,
	"gzip": archive.Gzip,
	"zstd": archive.Zstd,
}

// write copies like podman, through a pipe of goroutines: with an *os.File on both sides, io.Copy would use splice.
func write(to io.Writer, from io.ReadCloser, err error) {
	die(err)
	_, err = io.Copy(struct{ io.Writer }{to}, from)
	die(err)
	die(from.Close())
}

// include returns the paths of a diff that get an entry. podman includes only new directories, because the archiver
// includes all content of a directory.
func include(root string, changes []archive.Change) []string {
	var paths []string
	for _, change := range changes {
		status, err := os.Lstat(filepath.Join(root, change.Path))
		if change.Kind == archive.ChangeAdd || change.Kind == archive.ChangeModify && err == nil && !status.IsDir() {
			paths = append(paths, strings.TrimPrefix(change.Path, "/"))
		}
	}
	return paths
}

func main() {
	if reexec.Init() {
		return
	}
	a := os.Args
	switch a[1] {
	case "tar":
		options := &archive.TarOptions{Compression: compressions[a[3]], IncludeSourceDir: true}
		out, err := archive.TarWithOptions(a[2], options)
		write(os.Stdout, out, err)
	case "untar":
		die(archive.Untar(os.Stdin, a[2], &archive.TarOptions{}))
	case "changes":
		none := &idtools.IDMappings{}
		changes, err := archive.ChangesDirs(a[2], none, a[3], none)
		die(err)
		out, err := archive.TarWithOptions(a[2], &archive.TarOptions{IncludeSourceDir: true, IncludeFiles: include(a[2], changes)})
		write(os.Stdout, out, err)
	case "overlay":
		changes, err := archive.OverlayChanges([]string{a[4]}, a[3])
		die(err)
		out, err := archive.TarWithOptions(a[2], &archive.TarOptions{IncludeSourceDir: true, IncludeFiles: include(a[2], changes)})
		write(os.Stdout, out, err)
	case "export":
		volume, err := os.Create(filepath.Join(a[2], "volume.tar"))
		die(err)
		out, err := archive.TarWithOptions(a[3], &archive.TarOptions{IncludeSourceDir: true})
		write(volume, out, err)
		die(volume.Close())
		out, err = archive.TarWithOptions(a[2], &archive.TarOptions{Compression: compressions[a[4]], IncludeSourceDir: true})
		write(os.Stdout, out, err)
		die(os.Remove(volume.Name()))
	}
}
