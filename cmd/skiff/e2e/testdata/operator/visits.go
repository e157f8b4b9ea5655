package main

import (
	"encoding/json"
	"net/http"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// visitsPath is an API of the operator's own behind an APIService: who asks is told what the API server says about them.
const visitsPath = "/apis/visits.skiff.local/v1"

func serveVisits(w http.ResponseWriter, r *http.Request) {
	var answer any = metav1.APIResourceList{
		TypeMeta: metav1.TypeMeta{Kind: "APIResourceList", APIVersion: "v1"}, GroupVersion: "visits.skiff.local/v1",
		APIResources: []metav1.APIResource{{Name: "visits", SingularName: "visit", Kind: "Visit", Verbs: metav1.Verbs{"get"}}},
	}
	if r.URL.Path != visitsPath {
		answer = metav1.PartialObjectMetadata{
			TypeMeta:   metav1.TypeMeta{Kind: "Visit", APIVersion: "visits.skiff.local/v1"},
			ObjectMeta: metav1.ObjectMeta{Name: "mine", Annotations: map[string]string{"user": r.Header.Get("X-Remote-User")}},
		}
	}
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(answer) // a client that has gone needs no answer
}
