#!/bin/sh
# Put skiff on the PATH of this user, with completion for their shells, and check the Docker Engine.
#
# usage: ./install.sh [--prefix DIR] [--binary FILE] [--no-completion] [--dry-run]
#        ./install.sh --uninstall [--prefix DIR]
#
#   --prefix DIR      install DIR/bin/skiff (default: /usr/local for root, ~/.local for others; env PREFIX)
#   --binary FILE     install this skiff, and the skiffd beside it (default: bin/skiff beside this script, built when
#                     it is not there)
#   --no-completion   leave shell completion and man pages out
#   --uninstall       remove what an earlier run installed; clusters and their state stay (skiff delete --all-profiles)
#   --dry-run         say what would be done
#
# Exit codes: 0 installed · 1 something failed · 2 usage · 3 installed, but no Docker Engine answers yet
set -eu

here=$(CDPATH='' cd -- "$(dirname -- "$0")" && pwd)
prefix=${PREFIX:-}
binary=
completion=yes
uninstall=no
run=

say() { printf '%s\n' "$*"; }
die() {
  printf 'install.sh: %s\n' "$1" >&2
  exit "${2:-1}"
}

while [ $# -gt 0 ]; do
  case $1 in
    --prefix) [ $# -ge 2 ] || die '--prefix needs a directory' 2; prefix=$2; shift ;;
    --prefix=*) prefix=${1#*=} ;;
    --binary) [ $# -ge 2 ] || die '--binary needs a file' 2; binary=$2; shift ;;
    --binary=*) binary=${1#*=} ;;
    --no-completion) completion=no ;;
    --uninstall) uninstall=yes ;;
    --dry-run) run='echo would:' ;;
    -h | --help) sed -n '2,/^set /{/^set /d;s/^# \{0,1\}//;p;}' "$0"; exit 0 ;;
    *) die "unknown argument $1 (see --help)" 2 ;;
  esac
  shift
done

if [ -z "$prefix" ]; then
  if [ "$(id -u)" = 0 ]; then prefix=/usr/local; else prefix=$HOME/.local; fi
fi
target=$prefix/bin/skiff
# The daemon's program: skiff looks for it here, and nobody types it.
daemon_target=$prefix/libexec/skiff/skiffd
bash_file=$prefix/share/bash-completion/completions/skiff
zsh_file=$prefix/share/zsh/site-functions/_skiff
fish_file=$prefix/share/fish/vendor_completions.d/skiff.fish
man_dir=$prefix/share/man/man1

if [ "$uninstall" = yes ]; then
  [ -e "$target" ] || say "nothing is installed at $target"
  $run rm -f "$target" "$daemon_target" "$bash_file" "$zsh_file" "$fish_file"
  for page in "$man_dir"/skiff.1 "$man_dir"/skiff-*.1; do
    [ ! -e "$page" ] || $run rm -f "$page"
  done
  say "removed from $prefix; clusters stay until: skiff delete --all-profiles (before uninstalling), or rm -r ~/.skiff"
  exit 0
fi

if [ -z "$binary" ]; then
  binary=$here/bin/skiff
  if [ ! -x "$binary" ]; then
    [ -f "$here/Makefile" ] || die "no binary at $binary; name one with --binary"
    say "building $binary"
    make -C "$here" build
  fi
fi
daemon=$(dirname "$binary")/skiffd
for file in "$binary" "$daemon"; do
  [ -f "$file" ] || die "$file does not exist"
done
"$binary" version --client >/dev/null 2>&1 || die "$binary does not run on this machine"
version=$("$binary" version --client | awk 'NR == 1 { print $2 }')
daemon_version=$("$daemon" --version 2>/dev/null) || die "$daemon does not run on this machine"
[ "$version" = "$daemon_version" ] || die "$binary is $version and $daemon is $daemon_version; build or fetch both again"

# place SOURCE TARGET MODE replaces the target in one step: the old skiff may be running.
place() {
  if [ -n "$run" ]; then
    say "would: install $2"
    return
  fi
  mkdir -p "$(dirname "$2")" 2>/dev/null || die "can't create $(dirname "$2"); choose another --prefix, or use sudo"
  cp "$1" "$2.new" 2>/dev/null || die "can't write to $(dirname "$2"); choose another --prefix, or use sudo"
  chmod "$3" "$2.new"
  mv -f "$2.new" "$2"
}

place "$daemon" "$daemon_target" 755
place "$binary" "$target" 755
say "installed $target and $daemon_target ($version)"

if [ "$completion" = yes ]; then
  scratch=$(mktemp -d)
  trap 'rm -rf "$scratch"' EXIT
  for shell in bash zsh fish; do
    "$binary" completion "$shell" >"$scratch/$shell"
  done
  place "$scratch/bash" "$bash_file" 644
  place "$scratch/zsh" "$zsh_file" 644
  place "$scratch/fish" "$fish_file" 644
  if "$binary" docs man "$scratch/man" >/dev/null 2>&1; then
    for page in "$scratch"/man/*.1; do
      place "$page" "$man_dir/$(basename "$page")" 644
    done
  fi
  say "installed completion for bash, zsh and fish, and the man pages, below $prefix/share"
fi

case :$PATH: in
  *:"$prefix/bin":*) ;;
  *) say "$prefix/bin is not on your PATH; add this to your shell's start-up file:"; say "  export PATH=\"$prefix/bin:\$PATH\"" ;;
esac

[ -z "$run" ] || exit 0
if command -v docker >/dev/null 2>&1 && docker version >/dev/null 2>&1; then
  say "the Docker Engine answers: skiff start"
elif "$target" doctor --engine >/dev/null 2>&1; then
  say "the Docker Engine answers: skiff start"
else
  say "no Docker Engine answers yet; skiff needs one (Docker 20.10 or newer):"
  case $(uname -s) in
    Linux) say "  Debian, Ubuntu:  sudo apt-get install docker.io && sudo usermod -aG docker \$USER" ;;
    *) say "  Docker Desktop, OrbStack, colima or Rancher Desktop: https://docs.docker.com/get-docker/" ;;
  esac
  say "then: skiff start"
  exit 3
fi
