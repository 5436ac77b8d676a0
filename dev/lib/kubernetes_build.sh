# SPDX-License-Identifier: Apache-2.0
# Compiles the parts of Kubernetes that no package of Debian 12 carries, from its source package. Sourced by dev/setup.
# The result stays in $cache/lab/kubernetes-bin; a file beside the programs says what they were made from.

kubernetes_commands=(kube-apiserver kube-controller-manager kube-scheduler kubelet)

# What decides the result: another one of these means to build again.
kubernetes_key() {
  local version
  version=$(apt-cache "${private_apt[@]}" showsrc --only-source kubernetes 2> /dev/null | awk '/^Version:/ { print $2; exit }')
  [ -n "$version" ] || return 0
  printf '%s %s %s\n' "$version" "$(dpkg-query -W -f '${Version}' golang-go)" "${kubernetes_commands[*]}"
}

build_kubernetes() {
  local target=$cache/lab/kubernetes-bin work=$cache/kubernetes-build key
  key=$(kubernetes_key)
  [ -n "$key" ] || { refresh; key=$(kubernetes_key); }
  [ -n "$key" ] || die "no source package kubernetes in the apt sources: Debian 12 carries it"
  [ "$(cat "$target/.key" 2> /dev/null)" != "$key" ] || return 0
  say "compiling Kubernetes ${key%% *}: some minutes"
  rm -rf "$work" "$target"
  mkdir -p "$work/.go/src/k8s.io" "$target"
  # Verified by dpkg-source against the index that apt has authenticated.
  if ! (
    cd "$work" && apt-get "${private_apt[@]}" source -qq --only-source -o APT::Sandbox::User=root --download-only kubernetes &&
      dpkg-source --no-check -x ./*.dsc tree && ln -s "$work/tree" .go/src/k8s.io/kubernetes && cd .go/src/k8s.io/kubernetes &&
      env GOPATH="$work/.go" GOCACHE="$work/.cache" GO111MODULE=off CGO_ENABLED=0 KUBE_GIT_VERSION="v${key%%+*}" \
        KUBE_GIT_COMMIT=0 KUBE_GIT_TREE_STATE=clean make WHAT="${kubernetes_commands[*]/#/cmd/}"
  ) > "$cache/kubernetes.log" 2>&1; then
    tail -20 "$cache/kubernetes.log" >&2
    die "Kubernetes did not compile: $cache/kubernetes.log"
  fi
  local command
  for command in "${kubernetes_commands[@]}"; do
    install -m 755 "$work/tree/_output/bin/$command" "$target/" || die "the build left no $command"
  done
  printf '%s\n' "$key" > "$target/.key"
  rm -rf "$work"
}
