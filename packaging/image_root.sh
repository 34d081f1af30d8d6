#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Makes the file system of an image: programs, stripped, with the libraries that they need.
# Usage: image_root.sh BUILD_DIRECTORY ROOT [PROGRAM...]
# Without programs: all that is installed, and a busybox for scripts. With programs: these alone, and a shell for the
# entry point.
set -eu
build=$1
root=$2
shift 2
here=$(dirname "$0")
mkdir -p "$root/usr/bin" "$root/usr/lib" "$root/usr/lib64" "$root/etc/ssl/certs" "$root/tmp"
chmod 1777 "$root/tmp"
for directory in bin lib lib64; do ln -s "usr/$directory" "$root/$directory"; done

if [ $# = 0 ]; then
  cmake --install "$build" --prefix "$root/usr" --component runtime --strip
  install -s /bin/busybox "$root/usr/bin/busybox"
  for applet in $("$root/usr/bin/busybox" --list); do
    [ -e "$root/usr/bin/$applet" ] || ln -s busybox "$root/usr/bin/$applet"
  done
else
  for program in "$@"; do install -s "$build/bin/$program" "$root/usr/bin/"; done
  install -s /bin/dash "$root/usr/bin/sh"
fi
install "$here/entrypoint.sh" "$root/usr/bin/hyperpod-entrypoint"

# The loader and the libraries, each where it lies here. glibc resolves host names by itself.
find "$root/usr" -type f -perm /100 ! -name hyperpod-entrypoint -exec ldd {} \; 2>/dev/null | grep -o '/[^ ]*' | sort -u |
  while read -r library; do cp -L --parents "$library" "$root"; done

cp /etc/ssl/certs/ca-certificates.crt "$root/etc/ssl/certs/"
mkdir -p "$root/usr/lib/ssl"
ln -s /etc/ssl/certs/ca-certificates.crt "$root/usr/lib/ssl/cert.pem"
printf 'hosts: files dns\n' >"$root/etc/nsswitch.conf"
printf 'root:x:0:0::/:/bin/sh\nhyperpod:x:1000:1000::/tmp:/bin/sh\n' >"$root/etc/passwd"
printf 'root:x:0:\nhyperpod:x:1000:\n' >"$root/etc/group"
printf '%s: %s KiB\n' "$root" "$(du -sk "$root" | cut -f 1)"
