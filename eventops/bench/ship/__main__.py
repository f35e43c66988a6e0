from ..tables.reference_table import main

if __name__ == "__main__":
    main()
