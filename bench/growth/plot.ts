/** Lines in panels side by side, as SVG: both axes are logarithmic, since what is shown grows by factors. */

/** One line. */
export interface Series {
  readonly name: string
  readonly points: ReadonlyArray<readonly [x: number, y: number]>
}

/** One panel. */
export interface Panel {
  readonly title: string
  /** What is along the axes. */
  readonly x: string
  readonly y: string
  readonly series: ReadonlyArray<Series>
}

const WIDTH = 340
const HEIGHT = 280
const MARGIN = { left: 62, right: 18, top: 34, bottom: 46 }
/** That can be told apart by who sees no difference between red and green. */
const COLORS = ["#0072b2", "#d55e00"]

/** Powers of ten around values. */
const decades = (values: ReadonlyArray<number>): ReadonlyArray<number> => {
  const from = Math.floor(Math.log10(Math.min(...values)))
  const to = Math.max(from + 1, Math.ceil(Math.log10(Math.max(...values))))
  return Array.from({ length: to - from + 1 }, (_, index) => 10 ** (from + index))
}

/** Where values are on an axis that goes from one place to another. */
const scale = (ticks: ReadonlyArray<number>, from: number, to: number) => {
  const [low, high] = [Math.log10(ticks[0]!), Math.log10(ticks.at(-1)!)]
  return (value: number): number => from + ((Math.log10(value) - low) / (high - low)) * (to - from)
}

const text = (x: number, y: number, what: string, more = ""): string =>
  `<text x="${x.toFixed(1)}" y="${y.toFixed(1)}" ${more}>${what}</text>`

const panel = ({ series, title, x: xName, y: yName }: Panel, index: number): string => {
  const points = series.flatMap(({ points }) => points)
  const [xTicks, yTicks] = [decades(points.map(([x]) => x)), decades(points.map(([, y]) => y))]
  const [bottom, right] = [HEIGHT - MARGIN.bottom, WIDTH - MARGIN.right]
  const x = scale(xTicks, MARGIN.left, right)
  const y = scale(yTicks, bottom, MARGIN.top)
  const grid = [
    ...xTicks.map((tick) => `M${x(tick).toFixed(1)} ${bottom}V${MARGIN.top}`),
    ...yTicks.map((tick) => `M${MARGIN.left} ${y(tick).toFixed(1)}H${right}`),
  ].join("")
  const labels = [
    ...xTicks.map((tick) => text(x(tick), bottom + 15, inWords(tick), 'text-anchor="middle"')),
    ...yTicks.map((tick) => text(MARGIN.left - 6, y(tick) + 4, inWords(tick), 'text-anchor="end"')),
    text((MARGIN.left + right) / 2, HEIGHT - 10, xName, 'text-anchor="middle"'),
    text(0, 0, yName, `text-anchor="middle" transform="translate(12 ${(MARGIN.top + bottom) / 2}) rotate(-90)"`),
    text(MARGIN.left, 18, title, 'font-weight="bold"'),
  ]
  const lines = series.map(({ name, points }, line) => {
    const color = COLORS[line % COLORS.length]!
    const places = points.map(([px, py]) => `${x(px).toFixed(1)} ${y(py).toFixed(1)}`)
    const marks = places.map((place) => `<circle r="3" transform="translate(${place})" fill="${color}"/>`)
    return `<path d="M${places.join("L")}" fill="none" stroke="${color}" stroke-width="2"/>${marks.join("")}${text(MARGIN.left + 8, MARGIN.top + 14 + line * 15, name, `fill="${color}"`)}`
  })
  return `<g transform="translate(${index * WIDTH} 0)"><path d="${grid}" stroke="#ddd"/>${labels.join("")}${lines.join("")}</g>`
}

const UNITS = ["", "k", "M", "G"]

/** A power of ten as it stands at an axis. */
const inWords = (tick: number): string => {
  const unit = Math.max(0, Math.min(UNITS.length - 1, Math.floor(Math.log10(tick) / 3 + 1e-9)))
  return `${Number((tick / 1000 ** unit).toPrecision(1))}${UNITS[unit]!}`
}

/** An image with all panels. */
export const svg = (panels: ReadonlyArray<Panel>): string =>
  `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${panels.length * WIDTH} ${HEIGHT}" font-family="sans-serif" font-size="11"><rect width="100%" height="100%" fill="#fff"/>${panels.map(panel).join("")}</svg>\n`
