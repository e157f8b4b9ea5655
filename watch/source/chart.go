package source

import "skiff.local/skiff/watch/manifest"

const chartFile = "Chart.yaml"

func (w *walk) chart(_ Source, at place) {
	w.snapshot.Units = append(w.snapshot.Units, Unit{Kind: Chart, ID: at.id, Name: at.name, Problems: []manifest.Problem{{
		File: at.name + "/" + chartFile, Reason: "charts can't be rendered yet", Hint: "helm template . > rendered.yaml",
	}}})
}
