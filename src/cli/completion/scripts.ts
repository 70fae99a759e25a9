/**
 * What shells are given once. They ask `sallyport __complete` for the words that may stand next: one a line, with a
 * description behind a tab; a first line `:files` means file names.
 */
const BASH = `# bash completion for sallyport: source <(sallyport completion bash)
_sallyport() {
  local line cur=\${COMP_WORDS[COMP_CWORD]}
  COMPREPLY=()
  while IFS= read -r line; do
    if [[ $line == ':files' ]]; then compopt -o default 2>/dev/null; return; fi
    COMPREPLY+=("$(printf '%q' "\${line%%$'\\t'*}")")
  done < <(sallyport __complete -- "\${COMP_WORDS[@]:1:COMP_CWORD-1}" "$cur" 2>/dev/null)
}
complete -F _sallyport sallyport
`;

const ZSH = `#compdef sallyport
# zsh completion for sallyport: source <(sallyport completion zsh)
_sallyport() {
  local line
  local -a found
  for line in "\${(@f)$(sallyport __complete -- "\${(@)words[2,CURRENT]}" 2>/dev/null)}"; do
    [[ -z $line ]] && continue
    if [[ $line == ':files' ]]; then _files; return; fi
    found+=("\${\${line%%$'\\t'*}//:/\\\\:}:\${line#*$'\\t'}")
  done
  _describe sallyport found
}
compdef _sallyport sallyport
`;

const FISH = `# fish completion for sallyport: sallyport completion fish | source
function __sallyport_complete
  set -l words (commandline -opc) (commandline -ct)
  set -l found (sallyport __complete -- $words[2..-1] 2>/dev/null)
  if test "$found[1]" = ':files'
    __fish_complete_path (commandline -ct)
  else
    printf '%s\\n' $found
  end
end
complete -c sallyport -f -a '(__sallyport_complete)'
`;

export const SCRIPTS: Readonly<Record<string, string>> = { bash: BASH, zsh: ZSH, fish: FISH };
