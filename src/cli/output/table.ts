import { type Color, paint, safe } from './text.ts';

export interface Column<T> {
  readonly header: string;
  readonly value: (item: T) => string;
  /** Only with `-o wide`. */
  readonly wide?: boolean;
  readonly right?: boolean;
  readonly color?: (item: T) => Color | undefined;
}

export interface TableOptions {
  readonly wide: boolean;
  readonly headers: boolean;
  readonly color: boolean;
}

const GAP = '   ';

/** Columns as wide as their widest cell, as kubectl writes them. Empty cells are `-`, so that columns can be cut. */
export function formatTable<T>(columns: readonly Column<T>[], items: readonly T[], options: TableOptions): string {
  const shown = columns.filter((column) => options.wide || column.wide !== true);
  const rows = items.map((item) => shown.map((column) => safe(column.value(item)) || '-'));
  const widths = shown.map((column, index) =>
    Math.max(options.headers ? column.header.length : 0, ...rows.map((row) => row[index]?.length ?? 0)),
  );
  const line = (cells: readonly string[], colors: readonly (Color | undefined)[]): string =>
    cells
      .map((cell, index) => {
        const width = widths[index] ?? 0;
        const last = index === cells.length - 1;
        const padding = ' '.repeat(Math.max(0, width - cell.length));
        const painted = paint(cell, colors[index], options.color);
        if (shown[index]?.right === true) return padding + painted;
        return last ? painted : painted + padding;
      })
      .join(GAP);
  const lines = items.map((item, index) =>
    line(
      rows[index] ?? [],
      shown.map((column) => column.color?.(item)),
    ),
  );
  if (options.headers) {
    lines.unshift(
      line(
        shown.map((column) => column.header),
        [],
      ),
    );
  }
  return lines.map((text) => `${text}\n`).join('');
}
