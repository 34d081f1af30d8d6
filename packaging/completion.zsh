#compdef hyperpod-emulator hyperpod-kv hyperpod-conformance
# SPDX-License-Identifier: Apache-2.0
# The completion of bash, which lies in the same share directory.
autoload -Uz bashcompinit && bashcompinit
source ${${(%):-%x}:A:h}/../../bash-completion/completions/hyperpod-emulator
_bash_complete -F _hyperpod
