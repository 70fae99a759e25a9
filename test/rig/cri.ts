/** The few calls of the CRI (runtime.v1) that make pods, over gRPC. */

import { Client, credentials, type ServiceError } from '@grpc/grpc-js';
import protobuf from 'protobufjs';

const SCHEMA = `
syntax = "proto3";
package runtime.v1;
message VersionRequest { string version = 1; }
message VersionResponse { string version = 1; string runtime_name = 2; string runtime_version = 3; }
message PodSandboxMetadata { string name = 1; string uid = 2; string namespace = 3; uint32 attempt = 4; }
message NamespaceOption { int32 network = 1; int32 pid = 2; int32 ipc = 3; }
message LinuxSandboxSecurityContext { NamespaceOption namespace_options = 1; bool privileged = 6; }
message LinuxContainerSecurityContext { bool privileged = 2; }
message LinuxContainerConfig { LinuxContainerSecurityContext security_context = 2; }
message LinuxPodSandboxConfig { string cgroup_parent = 1; LinuxSandboxSecurityContext security_context = 2; }
message PodSandboxConfig {
  PodSandboxMetadata metadata = 1; string hostname = 2; string log_directory = 3;
  map<string, string> labels = 6; map<string, string> annotations = 7; LinuxPodSandboxConfig linux = 8;
}
message RunPodSandboxRequest { PodSandboxConfig config = 1; }
message RunPodSandboxResponse { string pod_sandbox_id = 1; }
message PodRequest { string pod_sandbox_id = 1; }
message PodIP { string ip = 1; }
message PodSandboxNetworkStatus { string ip = 1; repeated PodIP additional_ips = 2; }
message PodSandboxStatus { string id = 1; PodSandboxNetworkStatus network = 5; }
message PodSandboxStatusResponse { PodSandboxStatus status = 1; }
message ContainerMetadata { string name = 1; uint32 attempt = 2; }
message ImageSpec { string image = 1; }
message ContainerConfig {
  ContainerMetadata metadata = 1; ImageSpec image = 2; repeated string command = 3;
  map<string, string> labels = 9; map<string, string> annotations = 10; string log_path = 11;
  LinuxContainerConfig linux = 15;
}
message CreateContainerRequest { string pod_sandbox_id = 1; ContainerConfig config = 2; PodSandboxConfig sandbox_config = 3; }
message CreateContainerResponse { string container_id = 1; }
message ContainerStatus { string id = 1; int32 state = 3; int32 exit_code = 7; }
message ContainerStatusResponse { ContainerStatus status = 1; }
message ContainerRequest { string container_id = 1; int64 timeout = 2; }
message Empty {}
`;

const root = protobuf.parse(SCHEMA).root;

interface PodConfig {
  readonly metadata: {
    readonly name: string;
    readonly uid: string;
    readonly namespace: string;
    readonly attempt: number;
  };
  readonly logDirectory: string;
  readonly labels: Readonly<Record<string, string>>;
  readonly annotations: Readonly<Record<string, string>>;
  readonly linux: {
    readonly cgroupParent: string;
    readonly securityContext: {
      readonly namespaceOptions: { readonly network: number };
      readonly privileged: boolean;
    };
  };
}

interface ContainerConfig {
  readonly metadata: { readonly name: string; readonly attempt: number };
  readonly image: { readonly image: string };
  readonly command: readonly string[];
  readonly labels: Readonly<Record<string, string>>;
  readonly logPath: string;
  readonly linux: { readonly securityContext: { readonly privileged: boolean } };
}

interface PodReference {
  readonly podSandboxId: string;
}

export class Cri {
  readonly #client: Client;

  constructor(socket: string) {
    this.#client = new Client(`unix://${socket}`, credentials.createInsecure());
  }

  close(): void {
    this.#client.close();
  }

  /** Whether the service answers. */
  async ready(): Promise<boolean> {
    try {
      await this.#call('Version', 'VersionRequest', 'VersionResponse', {});
      return true;
    } catch {
      return false; // not yet
    }
  }

  runPodSandbox(request: { readonly config: PodConfig }): Promise<PodReference> {
    return this.#call('RunPodSandbox', 'RunPodSandboxRequest', 'RunPodSandboxResponse', request);
  }

  podSandboxStatus(
    request: PodReference,
  ): Promise<{ status: { network: { ip: string; additionalIps: readonly { ip: string }[] } } }> {
    return this.#call('PodSandboxStatus', 'PodRequest', 'PodSandboxStatusResponse', request);
  }

  stopPodSandbox(request: PodReference): Promise<object> {
    return this.#call('StopPodSandbox', 'PodRequest', 'Empty', request);
  }

  removePodSandbox(request: PodReference): Promise<object> {
    return this.#call('RemovePodSandbox', 'PodRequest', 'Empty', request);
  }

  createContainer(request: {
    readonly podSandboxId: string;
    readonly config: ContainerConfig;
    readonly sandboxConfig: PodConfig;
  }): Promise<{ containerId: string }> {
    return this.#call('CreateContainer', 'CreateContainerRequest', 'CreateContainerResponse', request);
  }

  startContainer(request: { readonly containerId: string }): Promise<object> {
    return this.#call('StartContainer', 'ContainerRequest', 'Empty', request);
  }

  containerStatus(request: { readonly containerId: string }): Promise<{ status: { state: number; exitCode: number } }> {
    return this.#call('ContainerStatus', 'ContainerRequest', 'ContainerStatusResponse', request);
  }

  stopContainer(request: { readonly containerId: string; readonly timeout: number }): Promise<object> {
    return this.#call('StopContainer', 'ContainerRequest', 'Empty', request);
  }

  removeContainer(request: { readonly containerId: string }): Promise<object> {
    return this.#call('RemoveContainer', 'ContainerRequest', 'Empty', request);
  }

  #call<Answer>(method: string, requestType: string, answerType: string, request: object): Promise<Answer> {
    const from = root.lookupType(`runtime.v1.${requestType}`);
    const to = root.lookupType(`runtime.v1.${answerType}`);
    return new Promise((resolve, reject) => {
      this.#client.makeUnaryRequest(
        `/runtime.v1.RuntimeService/${method}`,
        (value: object) => Buffer.from(from.encode(from.fromObject(value)).finish()),
        (bytes: Buffer) => to.toObject(to.decode(bytes), { defaults: true, arrays: true }) as Answer,
        request,
        { deadline: Date.now() + 60_000 },
        (error: ServiceError | null, answer?: Answer) => {
          if (error) reject(new Error(`rig: CRI ${method}: ${error.details}`, { cause: error }));
          else resolve(answer as Answer);
        },
      );
    });
  }
}
