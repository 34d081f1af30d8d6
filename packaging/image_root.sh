#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Makes the file system of an image of a portable build: programs, stripped, with the glibc that they need.
# Usage: image_root.sh full|slim BUILD_DIRECTORY ROOT
# Emulator, hyperpod-kv and entry point are one program, image_program.cc. full: all programs that are installed, and a
# busybox for scripts. slim: this program alone, and no shell.
set -eu
kind=$1
build=$2
root=$3
here=$(dirname "$0")
mkdir -p "$root/usr/bin" "$root/usr/lib" "$root/usr/lib64" "$root/etc/ssl/certs" "$root/tmp"
chmod 1777 "$root/tmp"
for directory in bin lib lib64; do ln -s "usr/$directory" "$root/$directory"; done

case $kind in
full)
  cmake --install "$build" --prefix "$root/usr" --component runtime --strip
  install -s /bin/busybox "$root/usr/bin/busybox"
  for applet in $("$root/usr/bin/busybox" --list); do
    [ -e "$root/usr/bin/$applet" ] || ln -s busybox "$root/usr/bin/$applet"
  done
  ;;
slim) ;;
*) echo "$0: $kind is not an image; there are full and slim" >&2; exit 2 ;;
esac
install -s "$build/bin/hyperpod-image-$kind" "$root/usr/bin/hyperpod-emulator"
for name in kv entrypoint; do ln -f "$root/usr/bin/hyperpod-emulator" "$root/usr/bin/hyperpod-$name"; done
[ "$kind" = slim ] || "$here/check_portable.sh" "$root/usr"

# The loader and the libraries, each where it lies here. glibc resolves host names by itself.
find "$root/usr" -type f -perm /100 -exec ldd {} \; 2>/dev/null | grep -o '/[^ ]*' | sort -u |
  while read -r library; do cp -L --parents "$library" "$root"; done

cp /etc/ssl/certs/ca-certificates.crt "$root/etc/ssl/certs/"
mkdir -p "$root/usr/lib/ssl"
ln -s /etc/ssl/certs/ca-certificates.crt "$root/usr/lib/ssl/cert.pem"
printf 'hosts: files dns\n' >"$root/etc/nsswitch.conf"
printf 'root:x:0:0::/:/bin/sh\nhyperpod:x:1000:1000::/tmp:/bin/sh\n' >"$root/etc/passwd"
printf 'root:x:0:\nhyperpod:x:1000:\n' >"$root/etc/group"

for program in hyperpod-emulator hyperpod-kv; do
  "$root/usr/bin/$program" --version | grep -q "^$program " || { echo "$0: $program is another program"; exit 1; }
done
bytes=$(find "$root" -type f -printf '%i %s\n' | sort -u | awk '{bytes += $2} END {print bytes}')
echo "image $kind: $bytes bytes"
[ "$kind" = full ] || [ "$bytes" -lt 12000000 ] || { echo "$0: the slim image is to have less than 12 MB"; exit 1; }
