# SPDX-License-Identifier: Apache-2.0
# Completion for hyperpod-emulator, hyperpod-kv and hyperpod-conformance in bash, and by way of _hyperpod in zsh.
# It asks the program's --help, so it knows the very options of the program that is installed.
_hyperpod_files() {
  local IFS=$'\n'
  COMPREPLY=($(compgen -f -- "$1"))
  compopt -o filenames 2>/dev/null || true # zsh has no compopt
}

_hyperpod_subcommands() {
  sed -n '/^Subcommands:/,/^$/s/^  \([a-z-]*\) .*/\1/p'
}

_hyperpod() {
  local program=$1 current=${COMP_WORDS[COMP_CWORD]} previous=$3 command=() own help subcommands value word i
  help=$("$program" --help 2>/dev/null)
  subcommands=$(_hyperpod_subcommands <<<"$help")
  for ((i = 1; i < COMP_CWORD; i++)); do
    for word in $(echo $subcommands); do
      if [[ ${COMP_WORDS[i]} == "$word" ]]; then
        # What takes options before the command takes them behind it as well.
        command+=("$word")
        own=$("$program" "${command[@]}" --help 2>/dev/null)
        help=$own$'\n'$help
        subcommands=$(_hyperpod_subcommands <<<"$own")
        break
      fi
    done
  done

  value=
  if [[ $previous == -* ]]; then
    value=$(sed -n "s/^  \(-[a-z],\)\{0,1\}$previous \([^ ].*\)/\2/p" <<<"$help" | head -n 1)
    value=${value%%  *}
  fi
  case $value in
    '' | '[='*) value= ;; # no option, or a flag
    *'{'*'}'*) value=${value#*\{}; value=${value%%\}*}; value=$(sed 's/->[0-9]*//g; s/,/ /g' <<<"$value") ;;
    *[A-Z]*'|'*) value=- ;;
    *'|'*) value=${value//|/ } ;;
    *FILE* | *DIR*) _hyperpod_files "$current"; return ;;
    *) value=- ;; # anything
  esac
  if [[ $value == - ]]; then COMPREPLY=(); return; fi
  if [[ -z $value && $current == -* ]]; then
    value=$(sed -n 's/^  \(-[a-z],\)\{0,1\}\(--[a-z-]*\).*/\2/p' <<<"$help")
  elif [[ -z $value && -n $subcommands ]]; then
    value=$subcommands
  elif [[ -z $value ]]; then
    _hyperpod_files "$current"; return
  fi
  COMPREPLY=($(compgen -W "$value" -- "$current"))
}
complete -F _hyperpod hyperpod-emulator hyperpod-kv hyperpod-conformance
