/** An image as an OCI layout in one archive, which containerd, podman and skopeo take; with Docker's manifest beside. */

import { createHash } from 'node:crypto';
import { gzipSync } from 'node:zlib';
import { type TarEntry, tar } from './tar.ts';
import type { Tree } from './tree.ts';

const LAYER = 'application/vnd.oci.image.layer.v1.tar+gzip';
const CONFIG = 'application/vnd.oci.image.config.v1+json';
const MANIFEST = 'application/vnd.oci.image.manifest.v1+json';
const INDEX = 'application/vnd.oci.image.index.v1+json';
/** Nothing in an image says when it was made: it is the same whenever it is. */
const EPOCH = '1970-01-01T00:00:00Z';

export interface Layer {
  /** What a person would call it. */
  readonly comment: string;
  readonly tree: Tree;
}

export interface ImageOptions {
  /** Without a tag, such as `sallyport.dev/sallyport`. */
  readonly repository: string;
  /** Told of the image: its own content's tag is added. */
  readonly tag: string;
  readonly architecture: 'amd64' | 'arm64';
  readonly layers: readonly Layer[];
  readonly entrypoint: readonly string[];
  readonly environment: Readonly<Record<string, string>>;
  readonly labels: Readonly<Record<string, string>>;
}

export interface Image {
  readonly archive: Buffer;
  /** Of the manifest. */
  readonly digest: string;
  /** The tag that names the content: `TAG-` and twelve digits of the configuration's digest. */
  readonly reference: string;
}

interface Blob {
  readonly content: Buffer;
  readonly digest: string;
}

export function makeImage(options: ImageOptions): Image {
  const { repository, tag, architecture } = options;
  const layers = options.layers.map(({ tree }) => {
    const plain = tar(tree.entries());
    return { plain: sha256(plain), blob: blobOf(gzipSync(plain, { level: 6 })) };
  });
  const config = json({
    architecture,
    os: 'linux',
    created: EPOCH,
    config: {
      Env: Object.entries(options.environment).map(([name, value]) => `${name}=${value}`),
      Entrypoint: options.entrypoint,
      Labels: options.labels,
    },
    rootfs: { type: 'layers', diff_ids: layers.map(({ plain }) => plain) },
    history: options.layers.map(({ comment }) => ({ created: EPOCH, comment })),
  });
  const manifest = json({
    schemaVersion: 2,
    mediaType: MANIFEST,
    config: descriptor(CONFIG, config),
    layers: layers.map(({ blob }) => descriptor(LAYER, blob)),
    annotations: options.labels,
  });
  const tags = [`${tag}-${config.digest.slice('sha256:'.length, 'sha256:'.length + 12)}`, tag];
  const index = json({
    schemaVersion: 2,
    mediaType: INDEX,
    manifests: tags.map((name) => ({
      ...descriptor(MANIFEST, manifest),
      platform: { architecture, os: 'linux' },
      annotations: {
        'io.containerd.image.name': `${repository}:${name}`,
        'org.opencontainers.image.ref.name': name,
      },
    })),
  });
  const docker = json([
    {
      Config: blobPath(config),
      RepoTags: tags.map((name) => `${repository}:${name}`),
      Layers: layers.map(({ blob }) => blobPath(blob)),
    },
  ]);
  const blobs = new Map([config, manifest, ...layers.map(({ blob }) => blob)].map((blob) => [blob.digest, blob]));
  const files: TarEntry[] = [
    file('oci-layout', Buffer.from('{"imageLayoutVersion":"1.0.0"}')),
    file('index.json', index.content),
    file('manifest.json', docker.content),
    { path: 'blobs', mode: 0o755 },
    { path: 'blobs/sha256', mode: 0o755 },
    ...[...blobs.values()]
      .sort((a, b) => (a.digest < b.digest ? -1 : 1))
      .map((blob) => file(blobPath(blob), blob.content)),
  ];
  return { archive: tar(files), digest: manifest.digest, reference: `${repository}:${tags[0]}` };
}

function sha256(content: Buffer): string {
  return `sha256:${createHash('sha256').update(content).digest('hex')}`;
}

function blobOf(content: Buffer): Blob {
  return { content, digest: sha256(content) };
}

function json(value: unknown): Blob {
  return blobOf(Buffer.from(JSON.stringify(value)));
}

function blobPath({ digest }: Blob): string {
  return `blobs/${digest.replace(':', '/')}`;
}

function descriptor(mediaType: string, { digest, content }: Blob) {
  return { mediaType, digest, size: content.length };
}

function file(path: string, content: Buffer): TarEntry {
  return { path, mode: 0o644, content };
}
