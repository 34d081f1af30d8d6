#!/bin/sh
# Makes a program's man page out of what its --help says, and that of its subcommands.
# Usage: man_page.sh PROGRAM PAGE
set -eu
program=$1
page=$2
name=$(basename "$program")
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

help_of() { "$program" "$@" --help | sed "s|^Usage: [^ ]*|Usage: $name|; s/…/.../g"; }

help_of >"$work/main"
{
  cat "$work/main"
  for command in $(sed -n '/^Subcommands:$/,/^$/s/^  \([^ ]*\) .*/\1/p' "$work/main"); do
    help_of "$command" >"$work/command"
    printf '\nCommand %s:\n' "$(sed -n "s/^Usage: $name //p" "$work/command")"
    # An indented line makes help2man take the one above for a heading. What goes is what the first part has said
    # already, headings, and the types of arguments.
    sed -e '1s/^/  /; /^Usage:/d; /^[A-Z][a-z]*:$/d; /^  -h,--help/d; /^Exit code/d' \
      -e '/^  [A-Z]* .*REQUIRED *$/d; s/^  \([A-Z]*\) TEXT[^ ]*\( REQUIRED\)\? */  \1        /' "$work/command"
  done
} >"$work/help"

# help2man asks a program, so it is given one that tells all of this.
printf '#!/bin/sh\n[ "$1" = --help ] || exec "%s" "$@"\ncat "%s"\n' "$program" "$work/help" >"$work/$name"
chmod +x "$work/$name"
help2man --no-info --name "$(head -n 1 "$work/main" | sed 's/\..*//')" \
  --version-string "$("$program" --version | sed 's/.* //')" --source "HyperPod KV" --output "$page" "$work/$name"
