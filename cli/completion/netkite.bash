# SPDX-License-Identifier: Apache-2.0
# bash completion for netkite(1). Load it with: source <(netkite completion bash)
_netkite() {
  local current=${COMP_WORDS[COMP_CWORD]} previous=${COMP_WORDS[COMP_CWORD-1]}
  local command= word i
  for ((i = 1; i < COMP_CWORD; i++)); do
    word=${COMP_WORDS[i]}
    case $word in
      -s|-o|-f|-n|-t|-c|-l|-a|-p|--socket|--output|--file|--count|--timeout|--limit|--address|--port|--protocol|--config|--bpffs|--cni-config-dir|--cni-plugin-dir) ((i++)) ;;
      -*) ;;
      *) command="${command:+$command }$word" ;;
    esac
  done
  COMPREPLY=()
  case $previous in
    -o|--output) mapfile -t COMPREPLY < <(compgen -W 'table json' -- "$current"); return ;;
    -s|--socket|-f|--file|-c|--config) mapfile -t COMPREPLY < <(compgen -f -- "$current"); return ;;
    --bpffs|--cni-config-dir|--cni-plugin-dir) mapfile -t COMPREPLY < <(compgen -d -- "$current"); return ;;
    --protocol) mapfile -t COMPREPLY < <(compgen -W 'tcp udp icmp icmpv6' -- "$current"); return ;;
    -n|--count|-t|--timeout|-l|--limit|-a|--address|-p|--port) return ;;
  esac
  local words='--socket --output --help'
  case $command in
    '') words+=' --version status endpoints services drops monitor nat conntrack prefilter check version completion' ;;
    monitor) words+=' --count --timeout' ;;
    nat|'conntrack list') words+=' --limit' ;;
    conntrack) words='list flush' ;;
    'conntrack flush') words+=' --address --port --protocol' ;;
    prefilter) words='add del list' ;;
    'prefilter add'*|'prefilter del'*) words+=' --file' ;;
    check) words+=' --config --bpffs --cni-config-dir --cni-plugin-dir' ;;
    completion) words='bash zsh fish' ;;
  esac
  mapfile -t COMPREPLY < <(compgen -W "$words" -- "$current")
}
complete -F _netkite netkite
