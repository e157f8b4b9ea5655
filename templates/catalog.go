package templates

// All returns the templates in the order of the help.
func All() []Template {
	return []Template{
		{
			Name: "web", Short: "A web server with a Service on localhost",
			Params: []Param{
				{"image", "image of the server", Image, "skiff.local/hello:1.0"},
				{"port", "port that the server listens on", Port, "8080"},
				{"path", "path that answers when the server is well", Text, "/healthz"},
				{"replicas", "number of pods", Count, "2"},
			},
		},
		{
			Name: "ingress", Short: "A web server behind a host name of its own",
			Params: []Param{
				{"image", "image of the server", Image, "skiff.local/hello:1.0"},
				{"port", "port that the server listens on", Port, "8080"},
				{"path", "path that answers when the server is well", Text, "/healthz"},
				{"host", "host name; *.localhost needs no DNS", Host, "app.localhost"},
			},
		},
		{
			Name: "worker", Short: "A process that works in the background",
			Params: []Param{
				{"image", "image of the worker", Image, "busybox:1.37"},
				{"replicas", "number of pods", Count, "1"},
			},
		},
		{
			Name: "cron", Short: "A job that runs on a schedule", Aliases: []string{"cronjob"},
			Params: []Param{
				{"image", "image of the job", Image, "busybox:1.37"},
				{"schedule", "when to run, as cron writes it", Schedule, "*/5 * * * *"},
			},
		},
		{
			Name: "job", Short: "A task that runs to its end, in parallel",
			Params: []Param{
				{"image", "image of the task", Image, "busybox:1.37"},
				{"completions", "how often it must succeed", Count, "5"},
				{"parallelism", "how many run at a time", Count, "2"},
			},
		},
		{
			Name: "postgres", Short: "A PostgreSQL with a volume", Aliases: []string{"postgresql", "pg"},
			Params: []Param{
				{"image", "image of the database", Image, "postgres:17-alpine"},
				{"storage", "size of its volume", Quantity, "1Gi"},
				{"database", "name of the first database", Name, "app"},
				{"user", "its owner", Name, "app"},
			},
		},
		{
			Name: "redis", Short: "A Redis with a volume",
			Params: []Param{
				{"image", "image of the server", Image, "redis:8-alpine"},
				{"storage", "size of its volume", Quantity, "1Gi"},
			},
		},
	}
}
