/** Nodes behind NAT boxes, as behind home routers and those of their providers. */

import { closeOnExit } from './cleanup.ts';
import { createNode, type Node } from './node.ts';
import { createSegment, forwardPort, masquerade, type Segment, type Uplink } from './segment.ts';

/** A router that masquerades: what comes from inside leaves with its own address outside. */
export interface NatBox {
  readonly node: Node;
  /** The segment between it and what is behind it. */
  readonly segment: Segment;
  readonly inside: Uplink;
  readonly outside: Uplink;
}

/** A node's place behind NAT. */
export interface BehindNat {
  /** The node's own plug, in the innermost segment. */
  readonly uplink: Uplink;
  /** From the node outward. */
  readonly boxes: readonly NatBox[];
  /** What the world sees it as: the outermost box's plug. */
  readonly visible: Uplink;
  /**
   * Leads what comes to `port` of the visible address, TCP and UDP, through all boxes to `to`: the node itself, by
   * `uplink`, or one of its endpoints.
   */
  forward(port: number, to: { readonly ipv4: string; readonly ipv6: string; readonly port: number }): Promise<void>;
  readonly close: () => void;
}

/**
 * Puts a node behind `layers` NAT boxes (1 unless told), the outermost of which is plugged into `outside`. The innermost
 * knows the way to the node's endpoints, so nothing need masquerade on the node itself; `masquerade(uplink)` adds that.
 */
export async function putBehindNat(
  node: Node,
  outside: Segment,
  options: { readonly layers?: number } = {},
): Promise<BehindNat> {
  const layers = options.layers ?? 1;
  if (layers < 1) throw new RangeError(`rig: a node is behind one NAT box at least, not ${layers}`);
  const boxes: NatBox[] = [];
  const close = closeOnExit(() => {
    for (const box of boxes) {
      box.segment.close();
      box.node.close();
    }
  });
  try {
    let around = outside;
    for (let layer = layers; layer >= 1; layer -= 1) {
      const box = await createBox(`${node.name}-box${layer}`, around, boxes[0]);
      boxes.unshift(box);
      around = box.segment;
    }
    const [innermost, outermost] = [boxes[0]!, boxes.at(-1)!];
    const uplink = await innermost.segment.connect(node);
    await leadOut(node, innermost);
    await innermost.segment.routeTo(innermost.inside, uplink);
    return {
      ...{ uplink, boxes, visible: outermost.outside, close },
      async forward(port, to) {
        for (const [layer, box] of boxes.entries()) {
          const inner = boxes[layer - 1];
          await forwardPort(box.outside, port, inner === undefined ? to : { ...inner.outside, port });
        }
      },
    };
  } catch (error) {
    close();
    throw error;
  }
}

async function createBox(name: string, around: Segment, outer: NatBox | undefined): Promise<NatBox> {
  const node = await createNode({ name });
  const outside = await around.connect(node);
  const segment = await createSegment(`${name}-inside`);
  const inside = await segment.connect(node);
  await masquerade(outside);
  if (outer !== undefined) await leadOut(node, outer);
  return { node, segment, inside, outside };
}

/** What the node knows no other way for goes to the box. */
async function leadOut(node: Node, box: NatBox): Promise<void> {
  await node.namespace.ip([
    `route replace default via ${box.inside.ipv4}`,
    `route replace default via ${box.inside.ipv6}`,
  ]);
}
