
ByJ­IVÏLP¬KÃBf@¿Ê³Å¹JÍ{@vPlO,Ç{¼