/**
 * Cgroups that runtimes make for containers, on cgroup2. `{id}` is a container id, 64 hexadecimal digits, which tells
 * them from all else; the monitors beside them (`crio-conmon-ID.scope`) match none of these.
 */
export const CONTAINER_CGROUPS: readonly string[] = [
  '/**/{id}', // Docker, containerd and CRI-O by cgroupfs, kubepods/…/podUID/ID, k8s.io/ID
  '/**/docker-{id}.scope', // by systemd
  '/**/cri-containerd-{id}.scope',
  '/**/nerdctl-{id}.scope',
  '/**/crio-{id}.scope',
  '/**/crio-{id}',
  '/**/libpod-{id}.scope', // podman
  '/**/libpod-{id}',
  '/**/libpod-payload-{id}',
];
