#!/bin/sh
# Makes the file system of the image: the installed programs, stripped, with the libraries that they need.
# Usage: image_root.sh BUILD_DIRECTORY ROOT
set -eu
build=$1
root=$2
mkdir -p "$root/usr/bin" "$root/usr/lib" "$root/usr/lib64" "$root/etc/ssl/certs" "$root/tmp"
chmod 1777 "$root/tmp"
for directory in bin lib lib64; do ln -s "usr/$directory" "$root/$directory"; done

cmake --install "$build" --prefix "$root/usr" --component runtime --strip
# The loader and the libraries, each where it lies here. glibc resolves host names by itself.
find "$root/usr" -type f -executable -exec ldd {} \; | grep -o '/[^ ]*' | sort -u |
  while read -r library; do cp -L --parents "$library" "$root"; done

install -s /bin/busybox "$root/usr/bin/busybox"
for applet in $("$root/usr/bin/busybox" --list); do
  [ -e "$root/usr/bin/$applet" ] || ln -s busybox "$root/usr/bin/$applet"
done

cp /etc/ssl/certs/ca-certificates.crt "$root/etc/ssl/certs/"
mkdir -p "$root/usr/lib/ssl"
ln -s /etc/ssl/certs/ca-certificates.crt "$root/usr/lib/ssl/cert.pem"
printf 'hosts: files dns\n' >"$root/etc/nsswitch.conf"
printf 'root:x:0:0::/:/bin/sh\nhyperpod:x:1000:1000::/tmp:/bin/sh\n' >"$root/etc/passwd"
printf 'root:x:0:\nhyperpod:x:1000:\n' >"$root/etc/group"
du -sh "$root"
