#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Makes a program's man page out of what its --help says, and that of its subcommands, and the sections that stand in
# man/PROGRAM.h2m.
# Usage: man_page.sh PROGRAM PAGE
set -eu
program=$1
page=$2
name=$(basename "$program")
sections=$(dirname "$0")/man/$name.h2m
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

# Without what the page has sections for.
help_of() {
  "$program" "$@" --help | sed -e "s|^Usage: [^ ]*|Usage: $name|; s/…/.../g" \
    -e '/^Environment:/,/^Exit /{/^Exit /!d}' -e '/^Exit status:/,$d'
}

commands_of() { sed -n '/^Subcommands:$/,/^$/s/^  \([^ ]*\) .*/\1/p' "$1"; }

# A command's part, and those of the commands under it.
part_of() {
  help_of "$@" >"$work/command"
  printf '\nCommand %s:\n' "$(sed -n "s/^Usage: $name //p" "$work/command")"
  # An indented line makes help2man take the one above for a heading. What goes is what the first part has said
  # already, and headings.
  sed -e '1s/^/  /; /^Usage:/d; /^[A-Z][a-z]*:$/d; /^  -h,--help/d; /--help tells more of it\.$/d' "$work/command"
  for under in $(commands_of "$work/command"); do part_of "$@" "$under"; done
}

help_of >"$work/main"
{
  cat "$work/main"
  for command in $(commands_of "$work/main"); do part_of "$command"; done
} >"$work/help"

# help2man asks a program, so it is given one that tells all of this.
printf '#!/bin/sh\n[ "$1" = --help ] || exec "%s" "$@"\ncat "%s"\n' "$program" "$work/help" >"$work/$name"
chmod +x "$work/$name"
help2man --no-info --name "$(head -n 1 "$work/main" | sed 's/\..*//')" --include "$sections" \
  --version-string "$("$program" --version | sed 's/.* //')" --source "HyperPod KV" --output "$page" "$work/$name"
for section in EXAMPLES ENVIRONMENT FILES "EXIT STATUS" "SEE ALSO"; do
  grep -qE "^\\.SH \"?$section\"?" "$page" || {
    echo "$0: $page has no section $section" >&2
    exit 1
  }
done
